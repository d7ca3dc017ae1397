"""What a run that starts from published weights is told before it works, and what follows from them."""

import json

import pytest

from components.lib.core import hardware
from components.preflight.config import Config
from components.preflight.run import SETTLED, run


def check(tmp_path, hub, tracking_uri="", **overrides):
    overrides = {"pretraining.start": f"{hub}/", "pretraining.trunk": {"unit": "document"}, **overrides}
    tracking_uri = tracking_uri or f"sqlite:///{tmp_path}/mlflow.db"
    place = {"store": str(tmp_path / "store"), "tracking_uri": tracking_uri}
    items = run(
        Config("smoke", overrides, run_id="run-1", **place), *(tmp_path / "out" / name for name in SETTLED)
    )
    return items, {name: json.loads((tmp_path / "out" / name).read_text()) for name in SETTLED[:3]}


def test_settings_follow_from_the_weights(tmp_path, hub):
    (task,), out = check(tmp_path, hub, **{"finetuning.max_length": 64})
    assert out["pretraining"]["config"]["start"].startswith("public/")
    assert out["pretraining"]["config"]["trunk"] == {"unit": "document", "sequence_length": 64}
    tokenization = out["tokenization"]["config"]
    assert tokenization["kind"] == "given" and tokenization["complete"] is False
    assert tokenization["tokenizer"].endswith("model/tokenizer.json")
    assert "public" in task["finetuning"]["config"]["starts"]


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        ({"pretraining.trunk": {"architecture": "bert"}}, "decide the network"),
        ({"pretraining.trunk": {"sequence_length": 65}}, "longer than the published weights"),
        ({"finetuning.max_length": 65}, "longer than the trunk"),
        ({"pretraining.objective": {"causal_lm": {}}}, "do not offer causal"),
        ({"pretraining.start": "/nowhere/at/all/"}, "does not exist"),
        ({"pretraining.start": "champion", "pretraining.steps": 0}, "only published weights"),
    ],
)
def test_settings_that_these_weights_cannot_have(tmp_path, hub, capsys, overrides, what):
    with pytest.raises(SystemExit):
        check(tmp_path, hub, **{"finetuning.max_length": 32, **overrides})
    assert what in capsys.readouterr().err


def test_less_memory_than_weights_is_told_before_work(tmp_path, hub, monkeypatch, capsys):
    monkeypatch.setenv("TRUNKLINE_LOCAL", "processes")
    monkeypatch.setattr(hardware, "memory", lambda: 100_000)
    with pytest.raises(SystemExit):
        check(tmp_path, hub, **{"finetuning.max_length": 32})
    assert "more memory than there is" in capsys.readouterr().err
