"""F31: steps that are lost on a Ray cluster: corpus and tokens are the same to the byte."""

import threading
import time
from pathlib import Path

import psutil
import pytest
from ray.cluster_utils import Cluster

from components.ingestion import packs
from components.lib.storage.stage import Context
from components.tokenization.config import configured
from components.tokenization.run import run as tokenize
from tests.architecture.imports import ROOT
from tests.made.corpora import nonsense
from tests.made.ingesting import Ingestion, write


@pytest.fixture(autouse=True)
def many_small_steps(monkeypatch):
    monkeypatch.setattr(packs, "PACK_BYTES", 3_000)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Records spread unevenly: one large file, many small ones, copies among them, one that is broken."""
    lines = nonsense(600, "engines")
    files = {"large.txt": lines[:400], "again.txt": lines[100:160]}
    files |= {f"{number:02}.txt": lines[400 + 5 * number : 405 + 5 * number] for number in range(40)}
    folder = write(tmp_path_factory.mktemp("engines") / "source", files)
    (folder / "broken.txt.gz").write_bytes(b"\x1f\x8b no gzip")
    return folder


def corpus(folder: Path, source: Path, **settings: object) -> tuple[str, str]:
    """What identifies a corpus, and the tokens that are made of it."""
    engine = {name: settings[name] for name in ("engine", "address") if name in settings}
    ingest = Ingestion(folder)
    made = ingest(source, shard_bytes=8_000, quarantine=1, near_duplicates=0.8, **settings)
    assert len(list(ingest.store.objects.keys("extraction-"))) > 10
    text = {"modality": "text", "kind": "bpe", "vocabulary_size": 400, "workers": 1, **engine}
    tokens = tokenize(
        configured(text), Context(ingest.store), corpus=folder / "corpus.json", tokens=folder / "tokens.json"
    )
    return made.digest, tokens.digest


@pytest.fixture(scope="module")
def reference(source, tmp_path_factory):
    """A run of one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packs, "PACK_BYTES", 3_000)
        return corpus(tmp_path_factory.mktemp("reference"), source)


def test_results_do_not_depend_on_the_number_of_processes_nor_on_memory(source, reference, tmp_path):
    assert corpus(tmp_path, source, workers=3, sort_memory=1 << 20) == reference


@pytest.mark.long
@pytest.mark.fault("F31")
@pytest.mark.parametrize("armed", ["", "store.before_commit", "store.after_commit"])
def test_a_worker_is_killed(source, reference, tmp_path, monkeypatch, armed):
    """In one of the first packs' commits; '' kills nothing."""
    monkeypatch.setenv("TRUNKLINE_FAILPOINTS", str(tmp_path))
    if armed:
        (tmp_path / armed).write_text("kill at=2")
    assert corpus(tmp_path, source, engine="ray", workers=2) == reference
    assert not armed or (tmp_path / f"{armed}.fired").exists()


@pytest.mark.long
@pytest.mark.fault("F31")
def test_a_raylet_is_killed(source, reference, tmp_path, monkeypatch):
    """One machine of two is lost, with the step that one of its workers had."""
    monkeypatch.setenv("TRUNKLINE_FAILPOINTS", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_worker_niceness", "0")
    (tmp_path / "store.before_commit").write_text("stop at=2")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        raylets = [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in nodes]
        killer = threading.Thread(target=lose, args=(tmp_path / "store.before_commit.fired", raylets))
        killer.start()
        assert corpus(tmp_path, source, engine="ray", address=cluster.address) == reference
        killer.join(1)
        assert [raylet.status() for raylet in raylets].count(psutil.STATUS_ZOMBIE) == 1
    finally:
        cluster.shutdown()


def lose(fired: Path, raylets: list[psutil.Process]) -> None:
    """Kills the raylet whose worker stands still, and that worker: a machine without power."""
    for _ in range(2_000):
        time.sleep(0.1)
        for raylet in raylets if fired.exists() else ():
            stopped = [one for one in raylet.children(recursive=True) if one.status() == "stopped"]
            for process in [raylet, *stopped] if stopped else ():
                process.kill()
            if stopped:
                return
