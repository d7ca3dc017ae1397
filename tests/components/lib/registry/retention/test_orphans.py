"""TrainJobs that nobody follows are deleted, and no others."""

import time

import pytest

from components.lib.kubernetes.api import Cluster
from components.lib.kubernetes.manifest import Place, trainjob
from components.lib.registry.retention import orphans
from components.lib.registry.retention.report import Report
from components.lib.storage.lease import Lease
from components.lib.storage.store import Store
from tests.fakes import kubernetes_api

KEY, HOUR = "0123456789abcdef" * 2, 3600.0


@pytest.mark.parametrize(
    ("minutes", "lease", "later", "elsewhere", "dry", "gone"),
    [
        ("30", "renewed", 0.0, False, False, False),
        ("30", "renewed", HOUR, False, False, True),
        ("30", "given back", 0.0, False, False, False),  # whoever tries again has time to adopt it
        ("30", "given back", HOUR, False, False, True),
        ("30", "", 0.0, False, False, False),
        ("30", "", HOUR, False, False, True),
        ("0", "renewed", HOUR, False, False, False),
        ("30", "renewed", HOUR, True, False, False),  # another store knows who follows it
        ("30", "renewed", HOUR, False, True, True),
    ],
)
def test_a_trainjob_ends_when_its_lease_was_not_renewed(
    tmp_path, monkeypatch, minutes, lease, later, elsewhere, dry, gone
):
    store = Store(str(tmp_path))
    place = f"{'s3://another/store' if elsewhere else store.uri}/launches/{KEY}"
    if lease:
        held = Lease(store.objects, f"launches/{KEY}", "a-run")
        assert held.take()
        if lease == "given back":
            held.release()
    with kubernetes_api.serving(tmp_path) as (api, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        api.pending = 1000.0
        where = Place("team", "torch", "TrainingRuntime", "", 1, 1, {}, "", 0, {}, {}, {})
        origin = {"trunkline.key": KEY, "trunkline.run": "a-run", "trunkline.orphan-minutes": minutes}
        Cluster().create(trainjob("trunkline-1", ["python", "-m", "x", place], where, origin))
        report = Report(dry=dry)
        orphans.end(store, Cluster(), report, time.time() + later)
        api.get("trunkline-1")
        assert report.names["orphans"] == (["team/trunkline-1"] if gone else [])
        assert ("trunkline-1" in api.jobs) == (dry or not gone)
