"""F19: a process that registers and promotes is killed at a request; the next one completes what it began."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from components.lib.registry.registered_models import Registry
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.promotion.config import Config as Promotion
from components.promotion.run import run as promote
from components.registration.config import Config as Registration
from components.registration.run import run as register
from tests import models
from tests.faults.proxy import before
from tests.killing import LIMIT, killed_at, started

BETTER = (0.02, 0.01, 0.03)  # the difference to the champion, and its interval
RULES = Promotion({"floors": {"minimum": {"accuracy": 0.5}}, "noninferiority": {"margin": 0.01}})
# Requests of one process: about 130 that change something, and the ends of its two runs
STRIKES = [{"method": "P", "every": number} for number in range(3, 124, 12)]
STRIKES += [{"path": "runs/update", "every": number} for number in (1, 2)]


def grow(uri: str, folder: str, name: str) -> None:
    """Both stages: the trunk `trunk.json`, and its branch as `evaluation.json` of `name` has it."""
    place, outputs = Path(folder), Path(folder) / name
    context = Context(Store(f"{folder}/store"), tracking_uri=uri, run_id=name, details={"preset": name})
    registered = outputs / "registered.json"
    register(
        Registration(name),
        replace(context, stage="registration"),
        trunk=place / "trunk.json",
        registered=registered,
    )
    promote(
        RULES,
        replace(context, stage="promotion", outputs=[]),
        registered=registered,
        evaluations=[outputs / "evaluation.json"],
        decision=outputs / "decision.json",
        report=outputs / "report.html",
    )


def prepare(uri: str, folder: Path, name: str) -> dict[str, set[str]]:
    """A champion and its trunk, and what is to follow them; the references of both, by registered model."""
    store, model = Store(str(folder / "store")), f"{name}-topics"
    (folder / name).mkdir()
    trunks = [models.trunk(store, seed) for seed in (0, 1)]
    old, new = (models.branch(store, trunk) for trunk in trunks)
    rounds: list[tuple[Manifest, Manifest]] = [
        (trunks[0], models.evaluation(store, old, model=model)),
        (trunks[1], models.evaluation(store, new, (old, "1"), difference=BETTER, model=model)),
    ]
    for number, (trunk, evaluation) in enumerate(rounds):
        trunk.write(folder / "trunk.json")
        evaluation.write(folder / name / "evaluation.json")
        if number == 0:
            grow(uri, str(folder), name)
    return {name: {trunk.reference for trunk in trunks}, model: {old.reference, new.reference}}


def state(uri: str, name: str) -> dict:
    """What there is of the trunk and the branch, without names, ids, times and what follows from them."""
    client, found = Registry(uri).client, {}
    for model in (name, f"{name}-topics"):
        (registered,) = client.search_registered_models(f"name = '{model}'")
        found[model.removeprefix(name)] = {alias: str(n) for alias, n in registered.aliases.items()}
        for version in client.search_model_versions(f"name = '{model}'"):
            run = client.get_run(version.run_id)
            history = client.get_metric_history(version.run_id, "loss")
            made = [
                output.model_id == version.tags["trunkline.model_id"] for output in run.outputs.model_outputs
            ]
            found[f"{model.removeprefix(name)} {version.version}"] = (
                sorted(key for key in version.tags if key != "mlflow.user"),
                version.tags.get("trunkline.gate"),
                re.sub(r"evaluation/\S+", "EVALUATION", version.description.replace(name, "NAME")),
                (version.status, run.info.status, made),
                [(point.step, point.value) for point in history],
            )
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def expected(mlflow_uri, folder):
    """The state of stages that nothing struck."""
    prepare(mlflow_uri, folder, "steady")
    grow(mlflow_uri, str(folder), "steady")
    found = state(mlflow_uri, "steady")
    assert found["-topics"] == {"champion": "2", "challenger": "2", "previous": "1"} == found[""]
    assert len(found[" 2"][-1]) == 5
    return found


@pytest.mark.long
@pytest.mark.fault("F19")
@pytest.mark.parametrize("strike", STRIKES, ids=lambda strike: "-".join(map(str, strike.values())))
def test_whoever_is_killed_at_a_request_is_completed(mlflow_uri, folder, expected, strike):
    name = "-".join(map(str, strike.values())).replace("/", "-")
    known = prepare(mlflow_uri, folder, name)
    with before(mlflow_uri) as proxy:
        fault = proxy.inject("hang", times=1, **strike)
        assert killed_at(fault, started(grow, proxy.url, str(folder), name))
    for model, references in known.items():  # there is always a champion
        assert Registry(mlflow_uri).require(model, "champion").reference in references
    again = started(grow, mlflow_uri, str(folder), name)
    again.join(LIMIT)
    assert again.exitcode == 0
    assert state(mlflow_uri, name) == expected
