"""Language modelling: causal against `transformers`' own loss, masked against its definition."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import GPT2LMHeadModel

from components.lib.engine.randomness import Draw
from components.lib.objectives import causal_lm
from components.lib.objectives.masked_lm import Config, Objective
from tests.made.in_memory import SPECIAL, text, trunk


def test_loss_equals_gpt2s_on_documents_one_by_one(tmp_path):
    samples = text(unit="chunk", architecture="gpt2")
    model = trunk(samples).eval()
    objective = causal_lm.Objective(causal_lm.Config(), model)
    batch = objective.prepare(samples, Draw(np.arange(12), np.zeros(12, dtype=np.int64), 0))
    model.save(tmp_path)
    reference = GPT2LMHeadModel.from_pretrained(tmp_path).eval()  # what we save is a whole language model
    flat, starts = batch.packed.ids.flatten()[batch.packed.places], batch.packed.starts
    total, count = 0.0, 0
    with torch.no_grad():
        for start, stop in itertools.pairwise(starts):
            ids = flat[start:stop][None]
            total += reference(ids, labels=ids).loss.item() * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
        loss = objective(batch)
    assert loss.weight == count
    assert loss.total.item() == pytest.approx(total, rel=1e-5)


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
    shown = batch.packed.ids.flatten()
    clean[batch.places] = shown[batch.places]
    assert torch.equal(clean, shown)  # what is not hidden is untouched


def test_eighty_ten_ten():
    _, _, _, batch = prepared(Config(ratio=0.5))
    shown = batch.packed.ids.flatten()[batch.places]
    assert (shown == SPECIAL["mask"]).float().mean() == pytest.approx(0.8, abs=0.03)
    assert (shown == batch.targets).float().mean() == pytest.approx(0.1 + 0.1 / 60, abs=0.03)


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
