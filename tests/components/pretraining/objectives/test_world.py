"""Two processes have the loss and the gradient of one, for every objective: all in one pair of processes."""

import multiprocessing
import os
import socket

import numpy as np
import pytest
import torch

from components.lib import plugins
from components.lib.config import from_dict
from components.lib.engine import distributed
from components.lib.engine.distributed import World
from components.lib.engine.loop import Plan, Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.trainable import WeightedSum
from tests.components.pretraining.objectives.test_contract import FOLDER, build

STEPS = 12
# objective, modality, options of the objective, of the trunk
CASES = {
    "contrastive of text": ("contrastive", "text", {}, {}),
    "contrastive of images": ("contrastive", "image", {}, {}),
    "triplet": ("contrastive", "image", {"loss": "triplet"}, {"architecture": "vit"}),
    "circle": ("contrastive", "image", {"loss": "circle"}, {"architecture": "vit"}),
}


def fit(world: World, case: str) -> tuple[list[float], list[float], np.ndarray]:
    """Losses, norms of the gradient, and the trunk at the end."""
    name, modality, options, dials = CASES[case]
    samples, trunk, _ = build(name, modality, **dials)
    module = plugins.load(FOLDER, name)
    torch.manual_seed(1)
    objective = module.Objective(from_dict(module.Config, options), trunk)
    plan = Plan(Schedule("cosine", 3e-3, STEPS, 0.1), quiet=True, report_every=1)
    history = Run(WeightedSum({name: objective}, {name: 1.0}), samples, Order(24, 8, 0), plan, world).train()
    weights = torch.cat([value.detach().double().flatten() for value in trunk.state_dict().values()])
    norms = [
        value for row in history for key, value in sorted(row.items()) if key.startswith("gradient_norm")
    ]
    return [row["loss"] for row in history], norms, weights.numpy()


def work(rank: int, port: int, results) -> None:
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    world = distributed.start()
    found = {case: fit(world, case) for case in CASES}
    if rank == 0:
        results.put(found)
    distributed.stop()


@pytest.fixture(scope="module")
def of_two():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=work, args=(rank, port, results)) for rank in range(2)]
    for process in processes:
        process.start()
    found = results.get(timeout=240)
    for process in processes:
        process.join(30)
    return found


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_loss_and_gradient_of_one(case, of_two):
    losses, norms, weights = fit(World(0, 1, torch.device("cpu")), case)
    theirs, their_norms, their_weights = of_two[case]
    np.testing.assert_allclose(theirs[:3], losses[:3], rtol=1e-4)
    np.testing.assert_allclose(their_norms[:3], norms[:3], rtol=1e-3)
    np.testing.assert_allclose(theirs, losses, rtol=2e-3)  # rounding grows with the steps
    assert np.abs(weights - their_weights).max() < 1e-2
