"""F20-F25: bytes that rot, files that are missing, disks that are full, writers that die or meet."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys

import pytest
import torch

from components.lib.core.errors import IntegrityError, OutputError
from components.lib.core.failpoints import VARIABLE
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.storage import store as stores
from components.lib.storage.artifacts import Key
from components.lib.storage.objects import connect
from components.lib.storage.store import Store
from tests.components import corpora

KEY = Key("made", 1, {"a": 1})
STAGE = """
import sys
from pathlib import Path
from components.lib.storage.artifacts import Key
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
def build(draft):
    for number in range(3):
        draft.write(f"part-{number}", str(number) * 1000)
    draft.facts["parts"] = 3
context = Context(Store(sys.argv[1]), stage="made")
print(context.produce(Key("made", 1, {"a": 1}), build, Path(sys.argv[2])).digest)
"""


def flipped(path, generator):
    data = bytearray(path.read_bytes())
    data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
    path.write_bytes(data)


def silent(store, manifest, name, flips=300):
    """How many of so many single-bit errors nobody notices."""
    path, generator, unseen = store.open(manifest, name), random.Random(0), 0
    whole = path.read_bytes()
    for _ in range(flips):
        flipped(path, generator)
        try:
            store.open(manifest, name)
            unseen += 1
        except IntegrityError:
            pass
        path.write_bytes(whole)
    return unseen


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    context, path = corpora.tokens(tmp_path_factory.mktemp("tokens"))
    return context.store, stores.artifacts.read(path)


@pytest.mark.fault("F21")
def test_no_flipped_bit_of_a_shard_is_silent(tokens):
    store, manifest = tokens
    assert silent(store, manifest, "train-00000.bin") == 0


class Trap:
    """A pickle that does something when it is opened."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def saved(folder):
    kept = Checkpoints(connect(str(folder)), "checkpoints/x", {"a": 1})
    kept.load()
    for step in (1, 2):
        kept.save(step, {"w": torch.full((64,), float(step))}, {})
        kept.wait()
    return kept, next(folder.glob("checkpoints/x/000000002-*/shard-00000.safetensors"))


@pytest.mark.fault("F22")
def test_a_pickle_in_place_of_a_shard_is_never_opened(tmp_path):
    kept, shard = saved(tmp_path)
    shard.write_bytes(pickle.dumps(Trap(tmp_path / "trapped")))
    _, state = kept.load()
    assert state["step"] == 1 and not (tmp_path / "trapped").exists()


@pytest.mark.fault("F23", "F25")
@pytest.mark.parametrize(
    "place", ["between_files at=1", "between_files at=3", "before_commit", "after_commit"]
)
def test_a_killed_writer_leaves_nothing_or_all(tmp_path, place):
    name, *when = place.split()
    (tmp_path / f"store.{name}").write_text(" ".join(["kill", *when]))
    command = [sys.executable, "-c", STAGE, str(tmp_path / "store"), str(tmp_path / "out.json")]
    environment = {**os.environ, VARIABLE: str(tmp_path)}
    killed = subprocess.run(command, env=environment, check=False)
    assert killed.returncode == -9 and (tmp_path / f"store.{name}.fired").exists()
    store = Store(str(tmp_path / "store"))
    assert (store.find(KEY) is not None) == (name == "after_commit")
    again = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    alone = subprocess.run(
        [*command[:3], str(tmp_path / "other"), str(tmp_path / "o.json")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert again.stdout.split()[-1] == alone.stdout.split()[-1]
    assert ("reused" in again.stdout) == (name == "after_commit")


@pytest.fixture
def small(tmp_path):
    """A disk of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.fault("F20")
def test_a_full_disk_is_told_and_harms_nothing(small, tmp_path, monkeypatch):
    store = Store(str(small / "store"))
    with store.draft(Key("made", 1, {})) as draft:
        draft.write("small", b"x" * 1000)
        old = draft.commit()
    source = tmp_path / "big"
    source.write_bytes(bytes(2 << 20))
    with pytest.raises(OutputError, match="full") as caught:
        store.objects.upload(source, "big")
    assert caught.value.exit_code == 73 and "bytes free" in caught.value.found
    assert str(small) in caught.value.where
    with pytest.raises(OutputError, match="full"):
        store.objects.write("big", bytes(2 << 20))
    with pytest.raises(OutputError, match="the disk is full"), store.draft(KEY) as draft:
        draft.write("big", bytes(2 << 20))
    assert store.open(old, "small").read_bytes() == b"x" * 1000
    assert list(store.objects.keys("big")) == [] and store.objects.write("room", bytes(100_000))


@pytest.mark.fault("F20")
def test_a_full_disk_keeps_the_checkpoint_before(small, tmp_path, monkeypatch):
    kept = Checkpoints(connect(str(tmp_path / "store")), "checkpoints/x", {})
    kept.load()
    kept.save(1, {"w": torch.ones(64)}, {})
    kept.wait()
    monkeypatch.setenv("TMPDIR", str(small))
    monkeypatch.setattr("tempfile.tempdir", None)
    kept.save(2, {"w": torch.ones(1 << 20)}, {})
    with pytest.raises(OutputError, match="local disk") as caught:
        kept.wait()
    assert caught.value.exit_code == 73 and str(small) in caught.value.where
    assert kept.load()[1]["step"] == 1
    assert list(small.iterdir()) == []
