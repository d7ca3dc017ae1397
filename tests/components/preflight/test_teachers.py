"""A run that learns from another trunk, which becomes a reference and decides how texts are read."""

import pytest

from tests.components.preflight.test_public_settings import check
from tests.made import published


def learning(teacher: str, **overrides):
    return {
        "pretraining.start": "",
        "pretraining.objective": {"distillation": {"teacher": teacher}},
        **overrides,
    }


def test_published_weights_teach_a_trunk_that_starts_at_random(tmp_path, hub, capsys):
    short = {"pretraining.trunk.sequence_length": 32}
    _, out = check(tmp_path, hub, **learning(f"{hub}/", **short))
    pretraining = out["pretraining"]["config"]
    assert pretraining["objective"]["distillation"]["teacher"].startswith("public/")
    assert pretraining["start"] == "" and pretraining["trunk"] == {"unit": "document", "sequence_length": 32}
    assert out["tokenization"]["config"]["kind"] == "given"
    assert "distillation learns from" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("teacher", "overrides", "what"),
    [
        ("champion", {}, "no trunk to learn from"),
        ("/nowhere/at/all/", {}, "does not exist"),
        ("", {}, "nobody to learn from"),
        ("HUB", {"pretraining.trunk": {"sequence_length": 65}}, "longer than the published weights"),
        ("HUB", {"pretraining.start": "OTHER"}, "reads other tokens"),
    ],
)
def test_teachers_that_a_run_cannot_have(tmp_path, hub, sqlite_uri, capsys, teacher, overrides, what):
    other = published.text(tmp_path / "other", "roberta")
    places = {"HUB": f"{hub}/", "OTHER": f"{other}/"}
    overrides = {
        name: places.get(value, value) if name == "pretraining.start" else value
        for name, value in overrides.items()
    }
    with pytest.raises(SystemExit):
        check(tmp_path, hub, sqlite_uri, **learning(places.get(teacher, teacher), **overrides))
    assert what in capsys.readouterr().err
