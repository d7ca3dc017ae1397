"""F01 where a trunk learns from recordings or pairs: all are killed, and the trunk is the same to the bit."""

from dataclasses import replace

import pytest

from tests import made
from tests.faults.lab import ALONE, Lab, kill_all

CASES = [
    ("pairs", "", {"clip": {"loss": "softmax"}}),
    ("pairs", "", {"clip": {"loss": "sigmoid"}}),
    ("audio", "melcnn", {"contrastive": {}}),
    ("audio", "wav2vec2", {"wav2vec2": {}}),
]


@pytest.mark.long
@pytest.mark.fault("F01")
@pytest.mark.parametrize(("modality", "architecture", "objective"), CASES)
def test_all_are_killed(modality, architecture, objective, tmp_path):
    made.tokens(modality)
    trunk = made.trunk_settings(modality, architecture)
    asked = {"modality": modality, "trunk": trunk, "objective": objective, "steps": 12, "evaluate_every": 6}
    config = replace(ALONE, **asked)
    whole, struck = (Lab(tmp_path / name, made.folder() / modality, config) for name in ("whole", "struck"))
    assert whole.run().code == 0, whole.log()
    process = struck.frozen("at=8")
    kill_all(process)
    assert struck.commits() == [5]
    struck.assert_whole(whole, struck.run())
