"""NT-Xent against its formula in float64, and across processes."""

import math
import multiprocessing
import os
import socket

import numpy as np
import pytest
import torch
from torch.nn import functional

from components.lib.engine import distributed
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.trainable import WeightedSum
from components.pretraining.objectives.contrastive import Config, Objective, nt_xent
from tests.components.pretraining.texts import text, trunk


def formula(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    """Equation 1 of the SimCLR paper, term by term, summed over the 2 N views."""
    z = torch.cat([first, second]).double()
    size, total = len(first), 0.0
    for i in range(2 * size):
        j = (i + size) % (2 * size)
        similarity = [
            float(functional.cosine_similarity(z[i], z[k], dim=0)) / temperature for k in range(2 * size)
        ]
        total -= similarity[j] - math.log(sum(math.exp(s) for k, s in enumerate(similarity) if k != i))
    return total


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0])
def test_value_is_the_formula(temperature):
    torch.manual_seed(0)
    first, second = (functional.normalize(torch.randn(7, 5).double(), dim=1) for _ in range(2))
    rows, ids = torch.cat([first, second]), torch.arange(7)
    total, _ = nt_xent(rows, rows, ids, ids, temperature)
    assert total.item() == pytest.approx(formula(first, second, temperature), rel=1e-9)


def test_gradient_is_the_formulas():
    torch.manual_seed(0)
    raw = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    ids = torch.arange(4)

    def loss(values: torch.Tensor) -> torch.Tensor:
        rows = functional.normalize(values, dim=1)
        return nt_xent(rows, rows, ids, ids, 0.2)[0]

    assert torch.autograd.gradcheck(loss, raw)


def test_a_sample_that_is_twice_in_the_batch_is_no_negative_of_itself():
    torch.manual_seed(0)
    views = functional.normalize(torch.randn(6, 5), dim=1)
    rows = torch.cat([views[:3], views[:1], views[3:], views[3:4]])  # sample 0 again, with the same views
    ids = torch.tensor([0, 1, 2, 0])
    total, _ = nt_xent(rows, rows, ids, ids, 0.1)
    logits = rows @ rows.T / 0.1
    for row, sample in enumerate(ids.repeat(2)):
        others = torch.cat([ids != sample, ids != sample])
        assert others.sum() == (4 if sample == 0 else 6)
        logits[row, ~others] = -math.inf
    position = torch.tensor([4, 5, 6, 4, 0, 1, 2, 0])
    for row, column in enumerate(position):
        logits[row, column] = rows[row] @ rows[column] / 0.1
    expected = functional.cross_entropy(logits, position, reduction="sum")
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)


def _fit(world: World):
    samples = text(unit="document")
    objective = Objective(Config(), trunk(samples))
    model = WeightedSum({"contrastive": objective}, {"contrastive": 1.0})
    plan = Plan(Schedule("cosine", 3e-3, 50, 0.1), quiet=True, report_every=1)
    run = Run(model, samples, Order(len(samples), 8, 0), plan, world)
    history = run.train()
    return [row["loss"] for row in history], [row["gradient_norm"] for row in history], model


def _worker(rank: int, port: int, results) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    losses, norms, model = _fit(distributed.start())
    if rank == 0:
        results.put((losses, norms, torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()))
    distributed.stop()


def test_two_processes_have_the_loss_and_gradient_of_one():
    losses, norms, model = _fit(World(0, 1, torch.device("cpu")))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_worker, args=(rank, port, results)) for rank in range(2)]
    for process in processes:
        process.start()
    theirs, their_norms, weights = results.get(timeout=120)
    for process in processes:
        process.join(30)
    assert np.allclose(theirs[:5], losses[:5], rtol=1e-5)
    assert np.allclose(their_norms[:5], norms[:5], rtol=1e-4)
    assert np.allclose(theirs, losses, rtol=2e-3)  # rounding grows over 50 steps of a contrastive loss
    assert (
        np.abs(weights - torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()).max() < 1e-2
    )
