"""F19: a process that promotes is killed at each request that changes something; the next completes it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from components.lib.registry.registered_models import Registry
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.promotion.config import Config
from components.promotion.run import run
from components.registration.config import Config as Registration
from components.registration.run import run as register
from tests import models
from tests.faults.proxy import before
from tests.killing import LIMIT, killed_at, started

BETTER = (0.02, 0.01, 0.03)  # the difference to the champion, and its interval
RULES = Config({"floors": {"minimum": {"accuracy": 0.5}}, "noninferiority": {"margin": 0.01}})


def promote(uri: str, folder: str, name: str) -> None:
    """The stage; the trunk and its branch are named after `name`."""
    place = Path(folder)
    context = Context(Store(str(place / "store")), tracking_uri=uri, run_id="promotion", stage="promotion")
    run(
        RULES,
        context,
        registered=place / f"{name}.registered.json",
        evaluations=[place / f"{name}.evaluation.json"],
        decision=place / f"{name}.decision.json",
        report=place / f"{name}.html",
    )


def champion(uri: str, folder: Path, name: str) -> tuple[str, str]:
    """A trunk and a branch that is champion; what is to follow it is evaluated. The references of both."""
    store = Store(str(folder / "store"))
    context = Context(store, tracking_uri=uri, run_id="registration", stage="registration", details={})
    trunk = models.trunk(store)
    trunk.write(folder / "trunk.json")
    outputs = {"trunk": folder / "trunk.json", "registered": folder / f"{name}.registered.json"}
    register(Registration(name), dataclasses.replace(context, outputs=[]), **outputs)
    old, new = (models.branch(store, trunk, seed) for seed in (0, 1))
    model = f"{name}-topics"
    models.evaluation(store, old, model=model).write(folder / f"{name}.evaluation.json")
    promote(uri, str(folder), name)
    later = models.evaluation(store, new, (old, "1"), difference=BETTER, model=model)
    later.write(folder / f"{name}.evaluation.json")
    return old.reference, new.reference


def state(uri: str, name: str) -> dict:
    """What there is of the trunk and the branch, without names, ids, times and what follows from them."""
    client, found = Registry(uri).client, {}
    for model in (name, f"{name}-topics"):
        (registered,) = client.search_registered_models(f"name = '{model}'")
        versions = client.search_model_versions(f"name = '{model}'")
        found[model.removeprefix(name)] = {
            "aliases": {alias: str(number) for alias, number in registered.aliases.items()},
            "versions": {
                str(version.version): (
                    sorted(version.tags),
                    version.tags.get("trunkline.gate"),
                    re.sub(r"evaluation/\S+", "EVALUATION", version.description.replace(name, "NAME")),
                    client.get_run(version.run_id).info.status,
                )
                for version in versions
            },
        }
    return found


@pytest.mark.long
@pytest.mark.fault("F19")
def test_whoever_is_killed_at_a_request_is_completed(mlflow_uri, tmp_path):
    folder, killed = str(tmp_path), 0
    champion(mlflow_uri, tmp_path, "steady")
    promote(mlflow_uri, folder, "steady")
    expected = state(mlflow_uri, "steady")
    assert expected["-topics"]["aliases"] == {"champion": "2", "challenger": "2", "previous": "1"}
    with before(mlflow_uri) as proxy:
        for number in range(1, 100, 7):
            name = f"struck-{number}"
            old, new = champion(mlflow_uri, tmp_path, name)
            fault = proxy.inject("hang", method="P", every=number, times=1)  # POST, PUT, PATCH
            if not killed_at(fault, started(promote, proxy.url, folder, name)):
                break
            proxy.faults.clear()
            assert Registry(mlflow_uri).find(f"{name}-topics", "champion").reference in (old, new)
            again = started(promote, proxy.url, folder, name)
            again.join(LIMIT)
            assert again.exitcode == 0
            assert state(mlflow_uri, name) == expected, f"killed at request {number}"
            killed += 1
    assert killed >= 3
