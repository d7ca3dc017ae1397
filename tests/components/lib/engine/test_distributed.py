"""Collectives with gradient: a contrastive loss over two processes has the gradient of one process."""

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.engine.distributed import ALONE, World, all_gather, all_reduce
from tests.components.lib.engine import worlds

PAIRS, WIDTH = 8, 6


def contrastive(world: World) -> tuple[np.ndarray, list[float], str]:
    """Its gradient, averaged over processes as DDP does; that of an all-reduced sum; what rank 0 says.

    InfoNCE of own rows against all columns: the mean over pairs is the local sum * world / pairs.
    """
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    share = slice(world.rank * PAIRS // world.size, (world.rank + 1) * PAIRS // world.size)
    views = torch.randn(2, PAIRS, WIDTH).double()[:, share]
    first, second = (nn.functional.normalize(encoder(view), dim=1) for view in views)

    def loss(rows: Tensor, columns: Tensor) -> Tensor:
        targets = world.rank * len(rows) + torch.arange(len(rows))
        return nn.functional.cross_entropy(rows @ columns.T / 0.2, targets, reduction="sum")

    total = loss(first, all_gather(second)) + loss(second, all_gather(first))
    (total * world.size / PAIRS).backward()
    flat = torch.cat([p.grad.flatten() for p in encoder.parameters()])
    values = torch.arange(3.0).mul(world.rank + 1).requires_grad_(True)
    all_reduce(values).square().sum().backward()
    said = world.broadcast(f"rank {world.rank}: é")
    return (world.all_reduce(flat) / world.size).numpy(), values.grad.tolist(), said


def test_two_processes_have_the_gradient_of_one():
    """Of an all-reduce too: d/dx of (2 losses of (x + y)^2) is 4 (x + y) on each. Text comes from rank 0."""
    first, second = worlds.run(contrastive, 2)
    np.testing.assert_allclose(first[0], contrastive(ALONE)[0], rtol=0, atol=1e-12)
    assert first[0].tolist() == second[0].tolist()
    assert first[1:] == second[1:] == ([4 * 3.0 * value for value in range(3)], "rank 0: é")
