"""Checkpoints: whole or not there, verified, owned by one run, written while training goes on."""

import math

import pytest
import torch
from safetensors.torch import load_file

from components.lib.core.errors import ConfigError, IntegrityError, Interrupted, OutputError
from components.lib.core.failpoints import VARIABLE
from components.lib.engine.checkpoint import tensor_file
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.storage.objects import connect
from tests.components.lib.engine.toys import run

TENSORS = {
    "a": torch.arange(12.0).view(4, 3), "b": torch.tensor(7), "c": torch.tensor([1.5, -2.0]).bfloat16(),
    "d": torch.tensor([True, False, True]), "e": torch.empty(0, 5),
}  # fmt: skip


def checkpoints(folder, **identity) -> Checkpoints:
    return Checkpoints(connect(str(folder)), "checkpoints/toy", {"name": "toy", **identity})


def commits(folder) -> list[str]:
    return sorted(path.name for path in folder.glob("checkpoints/toy/*.commit.json"))


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


def saved(tmp_path) -> Checkpoints:
    kept = checkpoints(tmp_path)
    run(9, checkpoints=kept, checkpoint_every=3).train()
    return kept


@pytest.mark.fault("F22")
@pytest.mark.parametrize(
    "damage",
    ["flip", "truncate", "empty", "delete", "zero page", "state", "commit"],
)
def test_a_damaged_checkpoint_is_never_loaded(tmp_path, damage):
    kept = saved(tmp_path)
    newest = sorted(tmp_path.glob("checkpoints/toy/000000009-*/*"))
    target = next(p for p in newest if p.suffix == (".json" if damage == "state" else ".safetensors"))
    if damage == "commit":
        target = tmp_path / "checkpoints/toy" / commits(tmp_path)[-1]
    data = bytearray(target.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    elif damage == "truncate":
        del data[-1]
    elif damage == "empty":
        data.clear()
    elif damage == "zero page":
        data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    elif damage in ("state", "commit"):
        data = data.replace(b'"step": 9', b'"step": 8')
    target.write_bytes(data)
    if damage == "delete":
        target.unlink()
    _tensors, state = kept.load()
    assert state["step"] == 6


@pytest.mark.fault("F22")
def test_when_all_checkpoints_are_damaged_nothing_starts_from_scratch(tmp_path):
    kept = saved(tmp_path)
    for path in tmp_path.glob("checkpoints/toy/*/shard-00000.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(IntegrityError, match="every checkpoint is damaged"):
        kept.load()


@pytest.mark.fault("F22")
def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(ConfigError, match="another run"):
        checkpoints(tmp_path, name="another").load()


def test_old_checkpoints_go_and_two_stay(tmp_path):
    saved(tmp_path)
    assert commits(tmp_path) == ["000000006.0001.commit.json", "000000009.0001.commit.json"]
    assert len(list(tmp_path.glob("checkpoints/toy/*/shard-00000.safetensors"))) == 2


def test_a_damaged_one_makes_no_room_for_itself(tmp_path):
    """After a fall back, the two newest sound checkpoints stay; the damaged one goes."""
    saved(tmp_path)
    next(tmp_path.glob("checkpoints/toy/000000009-*/shard-*")).write_bytes(b"")
    run(12, checkpoints=checkpoints(tmp_path), checkpoint_every=3).train()
    assert commits(tmp_path) == ["000000009.0002.commit.json", "000000012.0002.commit.json"]
    assert len(list(tmp_path.glob("checkpoints/toy/*/state.json"))) == 2


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
    assert commits(tmp_path) == ["000000001.0002.commit.json"]


def test_a_store_that_does_not_answer_once_delays_a_checkpoint(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "checkpoint.before_upload").write_text("fail at=1")
    run(9, checkpoints=checkpoints(tmp_path), checkpoint_every=3).train()
    assert (tmp_path / "checkpoint.before_upload.fired").exists()
    assert "training goes on" in capfd.readouterr().err
    assert commits(tmp_path) == ["000000006.0001.commit.json", "000000009.0001.commit.json"]


def test_a_store_that_cannot_be_written_stops_the_run(tmp_path):
    kept = checkpoints(tmp_path)
    kept.load()
    (tmp_path / "checkpoints/toy/000000003-0001-1").write_text("in the way")
    with pytest.raises(OutputError):
        kept.save(3, TENSORS, {})
        kept.wait()
