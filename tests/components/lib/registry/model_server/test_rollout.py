"""Roll-outs on real processes and a real MLflow server: what stands takes the traffic, what falls stays."""

import json
import threading
import time
from contextlib import ExitStack

import pytest

from components.lib.core.errors import WorkerLost
from components.lib.registry import rollback
from components.lib.registry.model_server.limits import Limits
from components.lib.registry.model_server.worker import Worker
from components.lib.registry.registered_models import Registry
from components.lib.storage.artifacts import sha256
from components.lib.storage.lease import VARIABLE, Lease
from components.lib.storage.store import Store
from tests import served
from tests.faults.proxy import before

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # many processes, each of which imports torch
ASKED = served.TEXTS[:3]


@pytest.fixture
def registry(mlflow_uri):
    return Registry(mlflow_uri)


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


class Asking:
    """Clients that ask again and again while the block runs: every answer, by version."""

    def __init__(self, server, clients=4):
        self.server, self.answers, self.lost, self.stopped = server, [], [], threading.Event()
        self.threads = [threading.Thread(target=self.ask) for _ in range(clients)]

    def ask(self):
        while not self.stopped.is_set():
            try:
                self.answers.append(self.server.predictions(ASKED))
            except Exception as error:
                self.lost.append(repr(error))
                time.sleep(0.05)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()

    @property
    def versions(self):
        return [version for _, version in self.answers]


def answers(registry, made, folder):
    """What evaluation was answered to ASKED."""
    folder.mkdir()
    found = json.loads((registry.download(made, folder) / "examples.json").read_text())
    assert found["question"]["inputs"][:3] == ASKED
    return found["predictions"][:3]


def test_a_promoted_version_takes_the_traffic_and_no_request_is_lost(registry, store, tmp_path):
    name = "rolled"
    first, second = (served.version(registry, store, name, seed) for seed in (0, 1))
    served.champion(registry, first)
    with served.serving(registry.uri, name, tmp_path / "process") as server:
        server.ready()
        with Asking(server) as asking:
            time.sleep(1)
            served.champion(registry, second)
            server.wait("version 2 takes the traffic")
            time.sleep(1)
        assert not asking.lost
        assert {*asking.versions} == {"1", "2"} and asking.versions == sorted(asking.versions)
        for made in (first, second):
            given = [found for found, version in asking.answers if version == made.version]
            for one, wanted in zip(given[-1], answers(registry, made, tmp_path / made.version), strict=True):
                assert one["label"] == wanted["label"]
                assert one["score"] == pytest.approx(wanted["score"], abs=1e-4)
        assert len([*(tmp_path / "process").rglob("MLmodel")]) == 1, "files of the version before are gone"
        with Asking(server) as asking:
            time.sleep(0.5)
            server.process.terminate()
            time.sleep(0.3)
            assert server.ask("/ready")[0] == 503 and server.predictions(ASKED)
            asking.stopped.set()
        assert not asking.lost and server.process.wait(20) == 0
    assert rollback.main([name, "--tracking-uri", registry.uri, "--why", "worse in life"]) == 0
    assert (served.holder(registry, name), served.holder(registry, name, "previous")) == ("1", "2")
    assert "worse in life" in registry.find(name, "previous").tags[rollback.WITHDRAWN]


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        ("cannot load", "no such layer"),
        ("exits", "cannot be loaded"),
        ("dies", "by signal 9"),
        ("answers otherwise", "does not answer what was evaluated: predictions"),
        ("changed", "not what was registered"),
    ],
)
def test_a_version_that_falls_never_takes_traffic_and_the_alias_goes_back(
    registry, store, tmp_path, spoiled, words
):
    name = f"falls-{spoiled.replace(' ', '-')}"
    served.champion(registry, served.version(registry, store, name, seed=0))
    with served.serving(registry.uri, name, tmp_path / "process") as server:
        server.ready()
        with Asking(server, clients=1) as asking:
            served.champion(registry, served.version(registry, store, name, seed=1, spoiled=spoiled))
            server.wait("goes back from version 2 to version 1")
        assert not asking.lost and {*asking.versions} == {"1"}
        assert served.holder(registry, name) == "1"
        (fallen,) = (one for one in registry.of(name) if one.version == "2")
        assert words in fallen.tags[rollback.WITHDRAWN]
        assert b"trunkline_versions_refused_total 1.0" in server.ask("/metrics")[1]
        assert len([*(tmp_path / "process").rglob("MLmodel")]) == 1


def test_a_version_that_hangs_is_ended(registry, store, tmp_path):
    made = served.version(registry, store, "hangs", seed=0, spoiled="hangs")
    worker = Worker(registry.download(made, tmp_path), Limits(loading=4))
    with pytest.raises(WorkerLost, match="is gone") as lost:
        worker.load()
    assert "did not answer in 4 s" in str(lost.value) and not worker.alive


def test_replicas_that_follow_at_once_agree_and_a_new_one_serves_what_stands(registry, store, tmp_path):
    name = "replicas"
    served.champion(registry, served.version(registry, store, name, seed=0))
    with ExitStack() as stack:
        folders = (tmp_path / "a", tmp_path / "b")
        both = [stack.enter_context(served.serving(registry.uri, name, folder)) for folder in folders]
        for one in both:
            one.ready()
        served.champion(registry, served.version(registry, store, name, seed=1, spoiled="cannot load"))
        served.until(lambda: served.holder(registry, name) == "1", 240, both[0].told)
        for one in both:
            one.wait("version 2 stays out")
            assert one.predictions(ASKED)[1] == "1"
        served.until(lambda: any("goes back" in one.told() for one in both), 60, both[0].told)
        time.sleep(5)  # the other one gets the lease, and finds the alias moved
        assert sum(one.told().count("goes back") for one in both) == 1, "by one of them"
    fallen = next(one for one in registry.of(name) if one.version == "2")
    registry.set_alias(fallen, "champion")  # nobody runs: a server that begins here has nothing yet
    with served.serving(registry.uri, name, tmp_path / "c") as server:
        server.ready()
        assert server.predictions(ASKED)[1] == "1"
        server.wait("goes back from version 2 to version 1")
        assert served.holder(registry, name) == "1"


def test_a_machine_on_which_nothing_loads_moves_no_alias(registry, store, tmp_path):
    name = "nothing-loads"
    for seed in (0, 1):
        served.champion(registry, served.version(registry, store, name, seed, spoiled="cannot load"))
    with served.serving(registry.uri, name, tmp_path / "process") as server:
        server.wait("nor does version 1")
        time.sleep(1.5)
        assert server.ask("/ready")[0] == 503 and server.ask("/health")[0] == 200
        assert server.ask("/invocations", {"inputs": ASKED})[0] == 503
    assert served.holder(registry, name) == "2"


def test_mlflow_that_is_away_and_an_alias_that_vanishes_stop_nothing(registry, store, tmp_path):
    name = "away"
    first, second = (
        served.version(registry, store, name, seed, spoiled) for seed, spoiled in ((0, ""), (1, "unasked"))
    )
    with before(registry.uri) as proxy, served.serving(proxy.url, name, tmp_path / "process") as server:
        server.wait(f"{name} has no alias champion; nothing is served yet")
        served.champion(registry, first)
        server.ready()
        fault = proxy.inject("reset")
        server.wait("version 1 goes on")
        assert fault.struck and server.predictions(ASKED)[1] == "1"
        served.champion(registry, second)
        proxy.faults.clear()
        server.wait("version 2 takes the traffic: it has no stored examples")
        registry.client.delete_registered_model_alias(name, "champion")
        server.wait("has no alias champion; version 2 goes on")
        assert server.predictions(ASKED)[1] == "2" and server.ask("/ready")[0] == 200


def test_who_is_killed_in_the_midst_of_a_switch_begins_again(registry, store, tmp_path, monkeypatch):
    """Killed while it waits for the lease under which the alias goes back; the next one takes it back."""
    name = "killed"
    monkeypatch.setenv(VARIABLE, served.LEASE)
    served.champion(registry, served.version(registry, store, name, seed=0))
    lease = Lease(store.objects, f"aliases/{sha256(name.encode())[:32]}", "a run")
    with served.serving(registry.uri, name, tmp_path / "process") as server:
        server.ready()
        assert lease.take()
        with lease.kept():
            served.champion(registry, served.version(registry, store, name, seed=1, spoiled="cannot load"))
            server.wait("run a run promotes the same model")
            model = server.model()
            server.process.kill()
            assert served.holder(registry, name) == "2"
        model.wait(20)  # it ends with the server above it
    with served.serving(registry.uri, name, tmp_path / "next") as server:
        server.wait("goes back from version 2 to version 1")
        server.ready()
        assert server.predictions(ASKED)[1] == "1"
    assert served.holder(registry, name) == "1"
