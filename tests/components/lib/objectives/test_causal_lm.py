"""Causal language modelling against `transformers`' own loss."""

import itertools

import numpy as np
import pytest
import torch
from transformers import GPT2LMHeadModel

from components.lib.engine.randomness import Draw
from components.lib.objectives.causal_lm import Config, Objective
from tests.components.lib.objectives.texts import text, trunk


def test_loss_equals_gpt2s_on_documents_one_by_one(tmp_path):
    samples = text(unit="chunk", architecture="gpt2")
    model = trunk(samples).eval()
    objective = Objective(Config(), model)
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
