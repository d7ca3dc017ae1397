"""The tests of damage are red if nobody compares hashes: they do not pass for another reason."""

import re
import subprocess
import sys

import pytest

DAMAGE = [
    "tests/faults/test_damage.py::test_no_flipped_bit_of_a_shard_is_silent",
    "tests/faults/test_s3.py::test_what_passes_costs_time_alone[corrupt]",
    "tests/faults/test_s3.py::test_a_body_that_stays_damaged_is_never_taken",
    *(
        f"tests/components/lib/engine/test_checkpoint.py::test_a_damaged_checkpoint_is_never_loaded[{damage}]"
        for damage in ("flip", "truncate", "empty", "zero page")
    ),
    "tests/components/lib/engine/test_checkpoint.py::test_a_pickle_in_place_of_a_shard_is_never_opened",
    "tests/components/lib/engine/test_checkpoint.py::test_when_all_checkpoints_are_damaged_nothing_starts_from_scratch",
    "tests/components/lib/modalities/text/test_tokens.py::test_a_damaged_shard_is_refused",
    "tests/components/registration/test_run.py::test_damaged_weights_are_not_registered",
]


@pytest.mark.long
@pytest.mark.fault("F12", "F21", "F22")
def test_tests_of_damage_are_red_without_the_hash_check():
    plugins = ["-p", "no:cacheprovider", "-p", "tests.faults.unverified"]
    command = [sys.executable, "-m", "pytest", "-q", "-m", "", *plugins, *DAMAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    counts = {kind: int(number) for number, kind in re.findall(r"(\d+) (failed|passed|error)", done.stdout)}
    assert counts == {"failed": len(DAMAGE)}, done.stdout[-3000:]
