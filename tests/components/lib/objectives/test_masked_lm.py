"""Masked language modelling against its definition."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from components.lib.engine.randomness import Draw
from components.lib.objectives.masked_lm import Config, Objective
from tests.components.lib.objectives.texts import SPECIAL, text, trunk


def prepared(config: Config, count: int = 400, training: bool = True):
    samples = text(count, unit="chunk", architecture="bert")
    objective = Objective(config, trunk(samples))
    draw = Draw(np.arange(len(samples)), np.zeros(len(samples), dtype=np.int64), 0, training)
    return samples, objective, draw, objective.prepare(samples, draw)


def test_hides_the_share_that_was_asked_for_and_no_special_token():
    samples, _, draw, batch = prepared(Config(ratio=0.3))
    clean = samples.view(draw, "window").ids.flatten()
    inner = int((clean > max(SPECIAL.values())).sum())
    assert len(batch.targets) / inner == pytest.approx(0.3, abs=0.02)
    assert torch.equal(clean[batch.places], batch.targets)
    assert batch.targets.min() > max(SPECIAL.values())


def test_eighty_ten_ten():
    _, _, _, batch = prepared(Config(ratio=0.5))
    shown = batch.packed.ids.flatten()[batch.places]
    assert (shown == SPECIAL["mask"]).float().mean() == pytest.approx(0.8, abs=0.03)
    assert (shown == batch.targets).float().mean() == pytest.approx(0.1 + 0.1 / 60, abs=0.03)


def test_what_is_not_hidden_is_untouched():
    samples, _, draw, batch = prepared(Config())
    clean, shown = samples.view(draw, "window").ids.flatten().clone(), batch.packed.ids.flatten()
    clean[batch.places] = shown[batch.places]
    assert torch.equal(clean, shown)


def test_validation_hides_less():
    _, _, _, batch = prepared(Config(ratio=0.6, eval_ratio=0.1), training=False)
    assert len(batch.targets) / batch.real < 0.2


def test_loss_is_the_cross_entropy_of_the_hidden_tokens():
    _, objective, _, batch = prepared(Config(), 20)
    objective.eval()
    with torch.no_grad():
        loss = objective(batch)
        hidden = objective.trunk(batch.packed)
        logits = objective.transform(hidden) @ objective.trunk.embedding().T + objective.bias
        everywhere = functional.log_softmax(logits.double(), -1).flatten(0, 1)
    expected = -sum(everywhere[p, t] for p, t in zip(batch.places, batch.targets, strict=True))
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.weight == len(batch.targets)
