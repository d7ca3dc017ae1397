"""F22, F26: whole trainings whose checkpoints rot, or whose loss is not a number on one process."""

import json
import math

import pytest

from tests.faults.lab import ALONE, Lab


@pytest.fixture
def killed(prepared, tmp_path):
    """A training that was killed after step 19, and the commits it left, of steps 10 and 15."""
    lab = Lab(tmp_path / "lab", prepared, ALONE)
    lab.arm("training.step", "kill at=19")
    assert lab.run().code == -9 and lab.commits() == [10, 15]
    return lab


def spoil(lab, commit):
    """Flips a bit in the middle of each file of a checkpoint."""
    record = json.loads(commit.read_text())
    for entry in record["files"]:
        path = commit.parents[3] / record["folder"] / entry["name"]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def commits(lab):
    return sorted((lab.folder / "store").glob("checkpoints/*/*/*.commit.json"))


@pytest.mark.fault("F22")
def test_a_rotten_checkpoint_costs_the_steps_since_the_one_before(killed, reference):
    spoil(killed, commits(killed)[-1])
    done = killed.run()
    killed.assert_whole(reference, done)
    assert "is damaged, trying the one before" in done.log and "resumed after step 10" in done.log


@pytest.mark.long
@pytest.mark.fault("F22")
def test_where_all_are_rotten_nothing_starts_from_scratch(killed):
    for commit in commits(killed):
        spoil(killed, commit)
    done = killed.run()
    assert done.code == 65 and "every checkpoint is damaged" in done.log and "delete" in done.log
    assert not killed.trunk.exists()


@pytest.mark.long
@pytest.mark.fault("F26")
def test_a_loss_that_is_no_number_on_one_process_is_skipped_by_both(prepared, tmp_path):
    """Both go on with the same weights: killed and resumed, it is that run to the bit."""
    labs = [Lab(tmp_path / name, prepared) for name in ("calm", "killed")]
    for lab in labs:
        lab.arm("training.loss", "poison at=14 rank=1")
    labs[1].arm("training.step", "kill at=28 rank=0")
    calm, killed = (lab.run() for lab in labs)
    assert calm.code == 0 and "step 13 was skipped: gradient norm [nan], samples [" in calm.log
    labs[1].assert_whole(labs[0], killed)
    assert all(lab.fired("training.loss") for lab in labs) and labs[1].fired("training.step")
    rows = [row for row in labs[0].history() if "loss" in row]
    assert [row["step"] for row in rows if row["skipped"]] == [14.0]
    assert all(math.isfinite(row["loss"]) for row in rows if not row["skipped"])
    assert rows[-1]["loss"] < rows[0]["loss"]
