"""Two processes train what one trains, however they hold the model, and may change that on the way."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from components.lib.core.errors import Interrupted
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.distributed import ALONE, World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.parallel import blocks, choose, unshard
from components.lib.engine.plan import Plan
from components.lib.engine.trainable import Loss, WeightedSum
from components.lib.storage.objects import connect
from tests.components.lib.engine import worlds
from tests.components.lib.engine.test_phases import Game
from tests.components.lib.engine.toys import SAMPLES, WIDTH, Batch

STEPS = 10


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 7), nn.Dropout(0.2), nn.GELU(), nn.Linear(7, WIDTH)
        )

    def forward(self, values):
        return values + self.net(values)


class Deep(nn.Module):
    """Layers with dropout, used twice in a pass, a weight shared by both ends, and one that is never used."""

    PARTS = ("absolute",)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(3)])
        self.table, self.unused = nn.Linear(WIDTH, 5, bias=False), nn.Linear(3, 3)
        self.teacher = nn.ModuleList([Layer() for _ in range(2)]).requires_grad_(False)

    def prepare(self, samples, draw) -> Batch:
        return Batch(samples[draw.ids], torch.from_numpy(draw.uniform("noise", 5)).float())

    def encode(self, values):
        for layer in self.layers:
            values = layer(values)
        return values

    def forward(self, batch: Batch) -> Loss:
        first, second = self.encode(batch.inputs), self.encode(batch.targets @ self.table.weight)
        with torch.no_grad():
            aim = self.teacher[1](self.teacher[0](batch.inputs))
        error = (first - aim).square().sum() + nn.functional.linear(second, self.table.weight).square().sum()
        return Loss(error, batch.weight, {"absolute": first.abs().sum().detach()})

    def after_step(self, step: int, steps: int) -> None:
        slow, fast = list(self.teacher.parameters()), list(self.layers[:2].parameters())
        torch._foreach_lerp_(slow, [weight.detach() for weight in fast], 0.1)


class Plain(nn.Module):
    """The same layers, as simple as can be: one graph to compile."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(2)])

    prepare = Deep.prepare

    def forward(self, batch: Batch) -> Loss:
        return Loss(self.layers[1](self.layers[0](batch.inputs)).square().sum(), batch.weight)


def fit(world: World, kind: type[nn.Module], folder: str = "", stop: int = 0, **options) -> dict:
    torch.manual_seed(0)
    model = WeightedSum({"one": kind()}, {"one": 1.0})
    samples = torch.from_numpy(np.random.default_rng(0).normal(size=(SAMPLES, WIDTH))).float()
    plan = Plan(Schedule("cosine", 1e-2, STEPS, 0.1), quiet=True, report_every=1, **options)
    kept = Checkpoints(connect(folder), "c", {}, world=world) if folder else None
    run = Run(model, samples, Order(SAMPLES, 8, seed=7), plan, world, checkpoints=kept)
    if stop:
        take = run._take
        run._take = lambda *arguments: take(*arguments) or run.step + 1 >= stop
    try:
        history = run.train()
    except Interrupted:
        history = []
    sharded = type(next(model.parameters())).__name__
    unshard(model)
    state = {name: tensor.tolist() for name, tensor in model.state_dict().items()}
    return {"history": history, "state": state, "kind": sharded}


def fit_all(world: World, cases: list[dict]) -> list[dict]:
    return [fit(world, **case) for case in cases]


def close(ours: dict, theirs: dict, tolerance: float) -> None:
    assert ours["state"].keys() == theirs["state"].keys()
    for name, values in ours["state"].items():
        np.testing.assert_allclose(values, theirs["state"][name], atol=tolerance, rtol=0, err_msg=name)
    for our, their in zip(ours["history"], theirs["history"], strict=True):
        assert their == pytest.approx(our, abs=tolerance, rel=tolerance)


CASES = [
    {"kind": kind, "parallel": parallel, **more}
    for kind in (Deep, Game)
    for parallel in ("ddp", "fsdp")
    for more in ({}, {"micro_batch": 2}, {"recompute": True}, {"optimizer": "lars"})
    if not (kind is Game and "micro_batch" in more)  # batch norm knows the pass, not the step
]


@pytest.fixture(scope="module")
def of_two():
    return worlds.run(fit_all, 2, CASES)[0]


@pytest.mark.parametrize(
    "number",
    range(len(CASES)),
    ids=lambda n: "-".join(str(getattr(v, "__name__", v)) for v in CASES[n].values()),
)
def test_two_processes_are_one(number, of_two):
    case = CASES[number]
    alone = fit(ALONE, **{**case, "recompute": False})
    assert of_two[number]["kind"] == ("DTensor" if case["parallel"] == "fsdp" else "Parameter")
    close(alone, of_two[number], 2e-5)


def test_cut_and_whole_are_equal(of_two):
    """FSDP2 adds up the gradients of the two processes as DDP does."""
    for number, case in enumerate(CASES):
        if case["parallel"] == "ddp":
            other = CASES.index({**case, "parallel": "fsdp"})
            close(of_two[number], of_two[other], 1e-6)


@pytest.mark.parametrize("before", ["one", "ddp", "fsdp"])
def test_a_checkpoint_fits_any_world(tmp_path, before):
    """Saved by one process, two whole or two cut; resumed by each, and bit for bit by the same."""
    worlds_of = {"one": 1, "ddp": 2, "fsdp": 2}
    reference = _any(before, worlds_of[before])
    for after, size in worlds_of.items():
        folder = str(tmp_path / after)
        _any(before, worlds_of[before], folder=folder, stop=4)
        resumed = _any(after, size, folder=folder)
        if after == before:
            assert resumed["state"] == reference["state"] and resumed["history"] == reference["history"]
        close(reference, resumed, 2e-5)


def _any(parallel: str, size: int, **options) -> dict:
    case = {"kind": Deep, "parallel": "auto" if size == 1 else parallel, **options}
    return fit(ALONE, **case) if size == 1 else worlds.run(fit_all, size, [case])[0][0]


def test_blocks_are_the_outermost_layers():
    assert [type(block) for block in blocks(nn.Sequential(Deep()))] == [Layer] * 5


def test_a_small_model_stays_whole():
    assert choose("auto", Deep(), World(0, 2, torch.device("cpu"))) == "ddp"


def test_a_model_that_fills_the_memory_is_cut():
    with torch.device("meta"):
        large = nn.Linear(10**6, 10**6)
    assert choose("auto", large, World(0, 2, torch.device("cpu"))) == "fsdp"


@pytest.mark.skipif(
    shutil.which("g++") is None, reason="torch.compile needs a C++ compiler: apt-get install g++"
)
@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
def test_compiled_blocks_train_the_same_model():
    """Also recomputed; in one graph each: a break would cost what compiling gains."""
    counters = torch._dynamo.utils.counters
    counters.clear()
    eager, compiled = (fit(ALONE, kind=Plain, compile=dial, recompute=dial) for dial in (False, True))
    assert counters["stats"]["unique_graphs"] >= 1 and not counters["graph_break"]
    close(eager, compiled, 1e-5)
