"""F24: two processes promote challengers of one model; one is stopped or killed at its worst moment."""

import json
import os
import signal
import time
from pathlib import Path

import pytest

from components.lib.core import failpoints
from components.lib.registry.registered_models import Registry
from components.lib.storage import lease
from components.lib.storage.artifacts import read
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.promotion.run import run as promote
from components.registration.config import Config as Registration
from components.registration.run import run as register
from tests import models
from tests.faults.lab import LIMIT
from tests.faults.test_registry import BETTER, RULES
from tests.killing import started

MODEL = "twice-topics"
WRONG = {"champion": 100, "struck": 90, "better": 60, "worse": 91}  # of 500 examples


def promoted(uri: str, folder: str, name: str) -> None:
    """Promotion of the evaluation called so, in a process that is struck where its folder says."""
    os.environ |= {failpoints.VARIABLE: f"{folder}/{name}", lease.VARIABLE: "0.2"}
    context = Context(Store(f"{folder}/store"), uri, name, "promotion", details={"preset": "twice"})
    outputs = {one: Path(folder, name, one) for one in ("decision", "report")}
    evaluations = [Path(folder, name, "evaluation.json")]
    promote(RULES, context, registered=Path(folder, "registered.json"), evaluations=evaluations, **outputs)


@pytest.fixture
def folder(tmp_path, mlflow_uri):
    """A champion, and two challengers that were scored against it."""
    client = Registry(mlflow_uri).client
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    store = Store(str(tmp_path / "store"))
    trunk = models.trunk(store)
    trunk.write(tmp_path / "trunk.json")
    context = Context(store, mlflow_uri, "first", "registration", details={"preset": "twice"})
    paths = {name: tmp_path / f"{name}.json" for name in ("trunk", "registered")}
    register(Registration("twice"), context, **paths)
    branches = {name: models.branch(store, trunk, seed) for seed, name in enumerate(WRONG)}
    for name, branch in branches.items():
        (tmp_path / name).mkdir()
        against = {"champion": (branches["champion"], "1"), "difference": BETTER}
        scored = {} if name == "champion" else against
        made = models.evaluation(store, branch, model=MODEL, drawn=WRONG[name], **scored)
        made.write(tmp_path / name / "evaluation.json")
    promoted(mlflow_uri, str(tmp_path), "champion")
    return tmp_path


@pytest.fixture
def start(folder, mlflow_uri):
    """Starts a promotion; what is left in the end, a stopped one too, would keep pytest from ending."""
    made = []

    def begin(name):
        made.append(started(promoted, mlflow_uri, str(folder), name))
        return made[-1]

    yield begin
    for process in made:
        process.kill()


def decided(folder, name):
    manifest = read(folder / name / "decision")
    (task,) = json.loads(Store(str(folder / "store")).open(manifest, "decision.json").read_bytes())["tasks"]
    return task


@pytest.mark.fault("F24")
@pytest.mark.parametrize(
    ("action", "place", "other"),
    [
        ("stop", "promotion.moving", "better"),  # the move is in the store, MLflow was not told
        pytest.param("stop", "promotion.decided", "worse", marks=pytest.mark.long),
        pytest.param("stop", "promotion.moving", "worse", marks=pytest.mark.long),
        pytest.param("stop", "promotion.decided", "better", marks=pytest.mark.long),
        pytest.param("kill", "promotion.decided", "better", marks=pytest.mark.long),
        pytest.param("kill", "promotion.moving", "better", marks=pytest.mark.long),
        pytest.param("kill", "promotion.moving", "worse", marks=pytest.mark.long),
    ],
)
def test_both_runs_end_with_what_is_true(folder, mlflow_uri, start, action, place, other, monkeypatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    (folder / "struck" / place).write_text(action)
    first = start("struck")
    end = time.monotonic() + LIMIT
    while not (folder / "struck" / f"{place}.fired").exists():
        assert first.is_alive() and time.monotonic() < end
        time.sleep(0.05)
    second = start(other)
    second.join(LIMIT)
    assert second.exitcode == 0, "it takes over from one that is dead, or looks so"
    if action == "stop":
        os.kill(first.pid, signal.SIGCONT)
    else:
        first.join(LIMIT)
        assert first.exitcode == -9
        first = start("struck")  # as by Retry
    first.join(LIMIT)
    assert first.exitcode == 0
    registry = Registry(mlflow_uri)
    aliases = {alias: registry.find(MODEL, alias).reference for alias in ("anchor", "previous", "champion")}
    known = {decided(folder, name)["branch"]: name for name in ("champion", "struck", other)}
    best, before = (other, "champion") if other == "better" else ("struck", other)
    found = {alias: known[reference] for alias, reference in aliases.items()}
    assert found | {"anchor": ""} == {"anchor": "", "previous": before, "champion": best}
    late = decided(folder, "struck")
    assert late["verdict"] == ("promoted" if best == "struck" else "rejected")
    assert known[late["champion"]["reference"]] == other, "it is compared with the one that came between"
    assert decided(folder, other)["verdict"] == "promoted"
    for name, gate in (("struck", late["passed"]), (other, True)):
        version = registry.version(MODEL, decided(folder, name)["branch"])
        assert version.tags["trunkline.gate"] == ("passed" if gate else "failed")
        assert version.tags["trunkline.decision"] == read(folder / name / "decision").reference
