"""Two processes train what one trains, however they hold the model, and may change that on the way."""

import shutil

import pytest
import torch
from torch import nn

from components.lib.core.errors import Interrupted
from components.lib.engine.distributed import ALONE, World
from components.lib.engine.parallel import blocks, choose, unshard
from components.lib.engine.trainable import Loss
from tests.components.lib.engine import worlds
from tests.components.lib.engine.test_phases import Game
from tests.components.lib.engine.toys import WIDTH, Batch, Regression, close, run, state, stopped


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        inner = nn.Linear(WIDTH, 7), nn.Dropout(0.2), nn.GELU(), nn.Linear(7, WIDTH)
        self.net = nn.Sequential(nn.LayerNorm(WIDTH), *inner)

    def forward(self, values):
        return values + self.net(values)


class Plain(nn.Module):
    """Two layers with dropout."""

    PARTS = ("absolute",)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(2)])

    def prepare(self, samples, draw) -> Batch:
        return Batch(samples[draw.ids], torch.from_numpy(draw.uniform("noise", 5)).float())

    def forward(self, batch: Batch) -> Loss:
        error = self.layers[1](self.layers[0](batch.inputs)) - batch.targets.sum(dim=1, keepdim=True)
        return Loss(error.square().sum(), batch.weight, {"absolute": error.abs().sum().detach()})


class Deep(Plain):
    """Layers used twice in a pass, a weight shared by both ends, one that is never used, and a teacher."""

    def __init__(self) -> None:
        super().__init__()
        self.layers.append(Layer())
        self.table, self.unused = nn.Linear(WIDTH, 5, bias=False), nn.Linear(3, 3)
        self.teacher = nn.ModuleList([Layer() for _ in range(2)]).requires_grad_(False)

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


def fit(world: World, stop: int = 0, **options) -> dict:
    one = stopped(run(10, world=world, report_every=1, **options), stop)
    try:
        history = one.train()
    except Interrupted:
        history = []
    sharded = type(next(one.model.parameters())).__name__
    unshard(one.model)
    return {"history": history, "state": state(one), "kind": sharded}


def fit_all(world: World, cases: list[dict]) -> list[dict]:
    return [fit(world, **case) for case in cases]


def same(ours: dict, theirs: dict, tolerance: float) -> None:
    close(ours["state"], theirs["state"], tolerance)
    for our, their in zip(ours["history"], theirs["history"], strict=True):
        assert their == pytest.approx(our, abs=tolerance, rel=tolerance)


CASES = [
    {"kind": kind, "parallel": parallel, **more}
    for kind in (Deep, Game)
    for parallel in ("ddp", "fsdp")
    for more in ({}, {"micro_batch": 2}, {"recompute": True}, {"optimizer": "lars"})
    if not (kind is Game and "micro_batch" in more)  # batch norm knows the micro-batch, not the step
]
CASES.append({"kind": Regression, "parallel": "ddp", "terms": 2, "evaluate_every": 4})
NAMES = ["-".join(str(getattr(value, "__name__", value)) for value in case.values()) for case in CASES]


@pytest.fixture(scope="module")
def of_two():
    first, second = worlds.run(fit_all, 2, CASES)
    assert first == second
    return first


@pytest.mark.parametrize("number", range(len(CASES)), ids=NAMES)
def test_two_processes_are_one(number, of_two):
    """Also the running statistics of batch norm, averages that follow, and the validation."""
    case = CASES[number]
    alone = fit(ALONE, **{**case, "recompute": False})
    assert of_two[number]["kind"] == ("DTensor" if case["parallel"] == "fsdp" else "Parameter")
    same(alone, of_two[number], 2e-5)


def test_sharded_and_replicated_are_equal(of_two):
    """FSDP2 adds up the gradients of the two processes as DDP does."""
    for number, case in enumerate(CASES):
        if {**case, "parallel": "fsdp"} in CASES:
            same(of_two[number], of_two[CASES.index({**case, "parallel": "fsdp"})], 1e-6)


WAYS = ("one", "ddp", "fsdp")


def fit_ways(cases: dict) -> dict:
    """A deep model by its way: of one process here, all of two processes at once."""
    two = {key: {**case, "kind": Deep} for key, case in cases.items() if case["parallel"] != "one"}
    found = dict(zip(two, worlds.run(fit_all, 2, list(two.values()))[0], strict=True))
    alone = {"kind": Deep, "parallel": "auto"}
    return found | {key: fit(ALONE, **{**case, **alone}) for key, case in cases.items() if key not in two}


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    """Trainings that nothing stopped by their way, and resumed ones by the ways before and after."""
    folders = {(a, b): str(tmp_path_factory.mktemp(f"{a}-{b}")) for a in WAYS for b in WAYS}
    whole = fit_ways({way: {"parallel": way} for way in WAYS})
    fit_ways({(a, b): {"parallel": a, "folder": folder, "stop": 4} for (a, b), folder in folders.items()})
    return whole, fit_ways({(a, b): {"parallel": b, "folder": f} for (a, b), f in folders.items()})


@pytest.mark.parametrize("after", WAYS)
@pytest.mark.parametrize("before", WAYS)
def test_a_checkpoint_fits_any_world(crossed, before, after):
    """Saved by one process, two replicated or two sharded; resumed by each, and bit for bit by the same."""
    whole, resumed = crossed
    same(whole[before], resumed[before, after], 0.0 if after == before else 2e-5)


def test_blocks_are_the_outermost_layers():
    assert [type(block) for block in blocks(nn.Sequential(Deep()))] == [Layer] * 5


def test_a_model_that_fills_the_memory_is_sharded():
    with torch.device("meta"):
        large = nn.Linear(10**6, 10**6)
    world = World(0, 2, torch.device("cpu"))
    assert choose("auto", large, world) == "fsdp" and choose("auto", Deep(), world) == "ddp"


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
    same(eager, compiled, 1e-5)
