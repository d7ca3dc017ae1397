"""Explanations of answers: they add up, they depend on the weights, and one that fails loses nothing."""

import base64
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from components.evaluation import explanation
from components.lib.core import plugins
from components.lib.models import attribution
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from tests import made
from tests.components.evaluation import branches
from tests.components.evaluation.test_run import evaluate, one_thread  # noqa: F401  # a fixture
from tests.pages import read

KINDS = ("sequence_classification", "image_classification")
CASES = [case for case in made.branches() if case[0] in KINDS]


def attributed(one: made.Branch, modality: str, model: torch.nn.Module, role: str):
    plugin = plugins.load("components.lib.modalities", modality, "explanation")
    values = one.inputs[role]
    empty = plugin.baseline(model, one.reader, values[:8])
    return plugin.explained(model, one.reader, {role: values[0]}, 1, empty)


@pytest.mark.parametrize(("name", "modality", "architecture"), CASES)
def test_attributions_add_up_and_with_random_weights_the_picture_changes(name, modality, architecture):
    """Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018."""
    one = made.branch(name, modality, architecture)
    role, model = next(iter(one.inputs)), one.model.eval()
    found, drawn = attributed(one, modality, model, role)
    assert found.complete and abs(found.scores.sum() - found.rise) <= 0.01 * abs(found.rise)
    if role == "text":
        assert "".join(text for text, _ in drawn["pieces"]) in one.inputs[role][0]
        parts = sum(score for _, score in drawn["pieces"])
        assert parts == pytest.approx(found.rise, rel=0.02, abs=1e-4)
    else:
        assert base64.b64decode(drawn["picture"]).startswith(b"\x89PNG")
    torch.manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * parameter.std(correction=0).clamp(min=0.02))
    other, redrawn = attributed(one, modality, model, role)
    shown = [part.scores.sum(axis=-1 if role == "text" else 0).ravel() for part in (found, other)]
    assert abs(spearmanr(*shown).statistic) < 0.7 and drawn != redrawn


def test_what_does_not_add_up_is_marked(monkeypatch):
    """A step has no gradient, so that nothing is attributed to what crosses it."""
    monkeypatch.setattr(attribution, "STEPS", (4, 8))
    steps = lambda given: torch.stack([given.sum(1) * 0, (given.sum(1) > 1).float() + 0 * given.sum(1)], 1)  # noqa: E731
    found = attribution.integrated(steps, torch.ones(1, 3), torch.zeros(1, 3), 1)
    assert (found.rise, found.missing, found.complete) == (1.0, 1.0, False)
    linear = attribution.integrated(lambda given: given * 2, torch.ones(1, 3), torch.zeros(1, 3), 1)
    assert linear.complete and np.allclose(linear.scores, [0, 2, 0])
    items = [{"complete": False}, {"complete": True}]
    assert "1 of 2 do NOT add up" in explanation.note(items) and "all 1 add up" in explanation.note(items[1:])


def test_the_surest_wrong_and_right_answers_are_chosen():
    scored = {"label": np.zeros(6, int), "prediction": np.array([0, 1, 0, 1, 0, 0])}
    scored["confidence"] = np.array([0.5, 0.9, 0.8, 0.95, 0.7, 0.6])
    assert explanation.chosen(scored, 4) == [3, 1, 2, 4]
    assert explanation.chosen(scored, 2) == [3, 2]
    assert explanation.chosen({**scored, "prediction": np.zeros(6, int)}, 2) == [1 + 2, 1]
    assert len(explanation.chosen(scored, 100)) == 6


def test_they_stand_on_the_card_and_one_that_fails_loses_nothing(tmp_path, monkeypatch, capsys):
    context = Context(Store(str(tmp_path / "store")))
    branch = branches.commit(context.store, KINDS[0])
    evaluate(context, branch, tmp_path / "a", explain=4)
    page = read((tmp_path / "a" / "card.html").read_text(encoding="utf-8"))
    assert "Why" in page.headings and any("add up to the logit: all 4" in text for text in page.texts)
    monkeypatch.setattr(attribution, "STEPS", SimpleNamespace())
    made_anyway, _ = evaluate(context, branch, tmp_path / "b", explain=3)
    assert (
        made_anyway.facts["metrics"]
        and "what the answers rest on could not be drawn" in capsys.readouterr().out
    )
    assert "Why" not in read((tmp_path / "b" / "card.html").read_text(encoding="utf-8")).headings
