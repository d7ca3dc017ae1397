"""F20-F25: bytes that rot, files that are missing, disks that are full, writers that die or meet."""

import os
import random
import subprocess
import sys

import pytest
import torch

from components.lib.core.errors import IntegrityError, OutputError
from components.lib.core.failpoints import VARIABLE
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key
from components.lib.storage.objects import connect
from components.lib.storage.store import Store
from tests.made import corpora

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


@pytest.mark.fault("F21")
def test_no_flipped_bit_of_a_shard_is_silent(tmp_path):
    context, manifest = corpora.topic_tokens(tmp_path)
    manifest, generator = artifacts.read(manifest), random.Random(0)
    path = context.store.open(manifest, "train-00000.bin")
    whole = path.read_bytes()
    for _ in range(300):
        data = bytearray(whole)
        data[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        path.write_bytes(data)
        with pytest.raises(IntegrityError):
            context.store.open(manifest, "train-00000.bin")


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
    again = subprocess.check_output(command, env=environment, text=True)
    alone = subprocess.check_output([*command[:3], str(tmp_path / "other"), str(tmp_path / "o")], text=True)
    assert again.split()[-1] == alone.split()[-1]
    assert ("reused" in again) == (name == "after_commit")


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
