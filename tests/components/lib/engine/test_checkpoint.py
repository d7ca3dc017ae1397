"""Checkpoints: whole or not there, verified, owned by one run, written while training goes on."""

import math
import os
import pickle

import pytest
import torch
from safetensors.torch import load_file

from components.lib.core.errors import ConfigError, IntegrityError, Interrupted, OutputError
from components.lib.core.failpoints import VARIABLE
from components.lib.engine.checkpoint import tensor_file
from tests.components.lib.engine.toys import checkpoints, run

KINDS = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()
TENSORS = {kind: torch.arange(12).view(4, 3).to(getattr(torch, kind)) for kind in KINDS}
TENSORS |= {"scalar": torch.tensor(7), "empty": torch.empty(0, 5)}
PREFIX = "checkpoints/toy"


def commits(folder) -> list[str]:
    return sorted(path.name.removesuffix(".commit.json") for path in folder.glob(f"{PREFIX}/*.commit.json"))


def equal(ours: dict, theirs: dict) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert tensor.dtype == theirs[name].dtype and torch.equal(tensor, theirs[name]), name


def test_a_tensor_file_is_what_safetensors_reads(tmp_path):
    record = tensor_file.write(tmp_path / "x.safetensors", TENSORS)
    equal(load_file(tmp_path / "x.safetensors"), TENSORS)
    assert record.bytes == (tmp_path / "x.safetensors").stat().st_size


def test_what_changes_after_the_save_is_not_in_it(tmp_path):
    kept, tensors = checkpoints(tmp_path), {name: tensor.clone() for name, tensor in TENSORS.items()}
    kept.save(3, tensors, {"note": "x"})
    for tensor in tensors.values():
        tensor.zero_()
    kept.wait()
    found, state = kept.load()
    equal(found, TENSORS)
    assert state["step"] == 3 and state["note"] == "x"


@pytest.fixture
def saved(tmp_path):
    """A folder with the checkpoints of steps 6 and 9; the older one of step 3 is gone."""
    run(9, folder=tmp_path, checkpoint_every=3).train()
    assert commits(tmp_path) == ["000000006.0001", "000000009.0001"]
    assert len(list(tmp_path.glob(f"{PREFIX}/*/shard-00000.safetensors"))) == 2
    return tmp_path


class Trap:
    """A pickle that does something when it is opened."""

    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def other_step(data: bytes) -> bytes:
    return data.replace(b'"step": 9', b'"step": 8')


SHARD, STATE, COMMIT = "000000009-*/*.safetensors", "000000009-*/state.json", "000000009.*.commit.json"
DAMAGE = {
    "flip": (SHARD, flipped),
    "truncate": (SHARD, lambda data: data[:-1]),
    "empty": (SHARD, lambda data: b""),
    "zero page": (SHARD, lambda data: data[: len(data) // 2] + bytes(64) + data[len(data) // 2 + 64 :]),
    "state": (STATE, other_step),
    "commit": (COMMIT, other_step),
    "delete": (SHARD, lambda data: None),
}


@pytest.mark.fault("F22")
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_never_loaded(saved, damage):
    pattern, change = DAMAGE[damage]
    (target,) = saved.glob(f"{PREFIX}/{pattern}")
    data = change(target.read_bytes())
    if data is None:
        target.unlink()
    else:
        target.write_bytes(data)
    assert checkpoints(saved).load()[1]["step"] == 6


@pytest.mark.fault("F22")
def test_a_pickle_in_place_of_a_shard_is_never_opened(saved):
    (target,) = saved.glob(f"{PREFIX}/{SHARD}")
    target.write_bytes(pickle.dumps(Trap(saved / "trapped")))
    assert checkpoints(saved).load()[1]["step"] == 6 and not (saved / "trapped").exists()


@pytest.mark.fault("F22")
def test_when_all_checkpoints_are_damaged_nothing_starts_from_scratch(saved):
    for path in saved.glob(f"{PREFIX}/*/shard-00000.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(IntegrityError, match="every checkpoint is damaged"):
        checkpoints(saved).load()


@pytest.mark.fault("F22")
def test_a_checkpoint_of_other_settings_is_refused(saved):
    with pytest.raises(ConfigError, match="another run"):
        checkpoints(saved, name="another").load()


def test_a_damaged_one_makes_no_room_for_itself(saved):
    """After a fall back, the two newest sound checkpoints stay; the damaged one goes."""
    next(saved.glob(f"{PREFIX}/{SHARD}")).write_bytes(b"")
    run(12, folder=saved, checkpoint_every=3).train()
    assert commits(saved) == ["000000009.0002", "000000012.0002"]
    assert len(list(saved.glob(f"{PREFIX}/*/state.json"))) == 2


def test_the_best_stays(tmp_path):
    kept = checkpoints(tmp_path)
    for step, score in enumerate([3.0, 1.0, None, math.nan, 2.0, None, 4.0]):
        kept.save(step, TENSORS, {}, score)
    kept.wait()
    assert [int(name[:9]) for name in commits(tmp_path)] == [1, 5, 6]


def test_who_lost_the_run_commits_nothing(tmp_path):
    first, second = checkpoints(tmp_path), checkpoints(tmp_path)
    assert first.load() is None and second.load() is None
    first.save(1, TENSORS, {})
    with pytest.raises(Interrupted, match="taken this run over"):
        first.wait()
    assert commits(tmp_path) == []
    second.save(1, TENSORS, {})
    second.wait()
    assert commits(tmp_path) == ["000000001.0002"]


def test_a_store_that_does_not_answer_once_delays_a_checkpoint(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "checkpoint.before_upload").write_text("fail at=1")
    run(9, folder=tmp_path, checkpoint_every=3).train()
    assert (tmp_path / "checkpoint.before_upload.fired").exists()
    assert "training goes on" in capfd.readouterr().err
    assert commits(tmp_path) == ["000000006.0001", "000000009.0001"]


def test_a_store_that_cannot_be_written_stops_the_run(tmp_path):
    kept = checkpoints(tmp_path)
    kept.load()
    (tmp_path / PREFIX / "000000003-0001-1").write_text("in the way")
    with pytest.raises(OutputError):
        kept.save(3, TENSORS, {})
        kept.wait()
