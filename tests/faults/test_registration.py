"""F19: a process that registers is killed at each request that changes something; the next completes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.lib.registry.tracking import connect
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests import models
from tests.faults.proxy import before
from tests.killing import LIMIT, killed_at, started


def register(uri: str, store: str, trunk: str, name: str) -> None:
    """The stage, in a process of its own."""
    from components.registration.config import Config
    from components.registration.run import run

    context = Context(
        Store(store), tracking_uri=uri, run_id=name, stage="registration", details={"preset": name}
    )
    run(Config(name), context, trunk=Path(trunk), registered=Path(f"{trunk}.{name}"))


def state(client, name: str) -> dict:
    """What there is under a name, without ids and times."""
    (model,) = client.search_registered_models(f"name = '{name}'")
    (version,) = client.search_model_versions(f"name = '{name}'")
    run = client.get_run(version.run_id)
    points = client.get_metric_history(version.run_id, "loss")
    tags = {key for key in version.tags if key.startswith("trunkline.")}
    return {
        "aliases": {alias: str(number) for alias, number in model.aliases.items()},
        "tags": tags,
        "card": version.description.replace(name, "NAME"),
        "status": (version.status, run.info.status),
        "curve": [(point.step, point.value) for point in points],
        "models": [made.model_id == version.tags["trunkline.model_id"] for made in run.outputs.model_outputs],
    }


@pytest.mark.long
@pytest.mark.fault("F19")
def test_whoever_is_killed_at_a_request_is_completed(mlflow_uri, tmp_path):
    store, trunk = str(tmp_path / "store"), str(tmp_path / "trunk.json")
    models.trunk(Store(store)).write(Path(trunk))
    client, killed = connect(mlflow_uri), 0
    calm = started(register, mlflow_uri, store, trunk, "calm")
    calm.join(LIMIT)
    expected = state(client, "calm")
    assert expected["aliases"] == {"challenger": "1"} and len(expected["curve"]) == 5
    with before(mlflow_uri) as proxy:
        for number in range(2, 100, 6):  # the tests of the registry try them all, without processes
            name = f"killed-{number}"
            fault = proxy.inject("hang", method="P", every=number, times=1)  # POST, PUT, PATCH
            process = started(register, proxy.url, store, trunk, name)
            if not killed_at(fault, process):  # it makes fewer requests than that
                break
            proxy.faults.clear()
            again = started(register, proxy.url, store, trunk, name)
            again.join(LIMIT)
            assert again.exitcode == 0
            assert state(client, name) == expected, f"killed at request {number}"
            killed += 1
    assert killed >= 6
