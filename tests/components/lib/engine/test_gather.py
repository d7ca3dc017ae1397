"""A contrastive loss over two processes: local rows, all columns, gradient through the gather; wrong ways."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from components.lib.engine.distributed import World, all_gather, all_reduce
from tests.components.lib.engine import worlds

PAIRS, WIDTH = 8, 6


def silent(rows: Tensor) -> Tensor:
    """All rows, but a gradient reaches only this process's own."""
    parts = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, rows.detach())
    parts[dist.get_rank()] = rows
    return torch.cat(parts)


def half(first: Tensor, second: Tensor, offset: int) -> Tensor:
    """InfoNCE of rows against columns, summed over rows."""
    targets = offset + torch.arange(len(first))
    return nn.functional.cross_entropy(first @ second.T / 0.2, targets, reduction="sum")


def loss(way: str, first: Tensor, second: Tensor) -> Tensor:
    """The sum over rows of this process, both directions."""
    offset = dist.get_rank() * len(first) if dist.is_initialized() else 0
    if way == "alone" or way == "local negatives":
        return half(first, second, 0) + half(second, first, 0)
    join = all_gather if way == "ours" else silent
    if way == "all rows, no gradient":  # every process computes the whole loss, which is then averaged
        every, other = join(first), join(second)
        return (half(every, other, 0) + half(other, every, 0)) / dist.get_world_size()
    return half(first, join(second), offset) + half(second, join(first), offset)


def gradient(way: str, world: World | None = None) -> np.ndarray:
    """Of an encoder's weights, averaged over processes as DDP does, for the mean over pairs."""
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(WIDTH, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    inputs = torch.randn(2, PAIRS, WIDTH).double()
    share = slice(None)
    if world is not None:
        share = slice(world.rank * PAIRS // world.size, (world.rank + 1) * PAIRS // world.size)
    first, second = (nn.functional.normalize(encoder(view[share]), dim=1) for view in inputs)
    size = world.size if world else 1
    (loss(way, first, second) * size / PAIRS).backward()
    flat = torch.cat([p.grad.flatten() for p in encoder.parameters()])
    return (world.all_reduce(flat) / size if world else flat).numpy()


WAYS = ("ours", "local rows, no gradient", "all rows, no gradient", "local negatives")


def _all(world: World) -> dict[str, np.ndarray]:
    return {way: gradient(way, world) for way in WAYS}


@pytest.fixture(scope="module")
def compared() -> dict[str, tuple[float, float]]:
    """Size relative to the right gradient, and cosine with it."""
    right, answers = gradient("alone"), worlds.run(_all, 2)[0]
    size = np.linalg.norm(right)
    return {
        way: (np.linalg.norm(one) / size, one @ right / size / np.linalg.norm(one))
        for way, one in answers.items()
    }


def test_the_gradient_is_that_of_one_process(compared):
    assert compared["ours"] == pytest.approx((1.0, 1.0), abs=1e-12)


@pytest.mark.parametrize("way", WAYS[1:])
def test_the_wrong_ways_are_wrong(compared, way):
    ratio, cosine = compared[way]
    if way == "all rows, no gradient":
        assert ratio == pytest.approx(0.5) and cosine == pytest.approx(1.0)  # 1 / world: a silent lower rate
    else:
        assert cosine < 0.999  # another direction


def _sum_of_squares(world: World) -> list[float]:
    values = torch.arange(3.0).mul(world.rank + 1).requires_grad_(True)
    all_reduce(values).square().sum().backward()
    return values.grad.tolist()


def test_the_gradient_of_a_sum_over_processes_is_that_of_all_their_losses():
    """d/dx of (2 losses of (x + y)^2) is 4 (x + y) on each."""
    expected = [4 * 3.0 * value for value in range(3)]
    assert worlds.run(_sum_of_squares, 2) == [expected, expected]
