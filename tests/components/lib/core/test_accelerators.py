"""Accelerators that a cluster keeps for a stage are used, or nothing is."""

from __future__ import annotations

import pytest
import torch

from components.lib.core import accelerators
from components.lib.core.errors import ConfigError
from components.lib.storage.stage import stage

SEEN = torch.cuda.device_count()


@pytest.mark.parametrize("kept", ["", "0", str(SEEN)])
def test_what_is_seen_is_enough(monkeypatch, kept):
    monkeypatch.setenv(accelerators.KEPT, kept)
    accelerators.check()


def test_a_stage_whose_accelerators_are_not_seen_does_not_work_on_processors(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(accelerators.KEPT, str(SEEN + 1))
    with pytest.raises(ConfigError, match="not seen"):
        accelerators.check()
    settings = {"store": str(tmp_path), "run": {"run_id": "r", "tracking_uri": "", "details": {}}}
    with pytest.raises(SystemExit) as caught, stage("pretraining", settings):
        pytest.fail("it began")
    assert caught.value.code == 78
    said = capsys.readouterr().err
    assert f"{SEEN}, by torch {torch.__version__}" in said and "TORCH_INDEX" in said
