"""Rotation against numpy's turns and the cross-entropy of the turn."""

import numpy as np
import pytest
import torch

from components.lib.core.errors import ConfigError
from components.lib.engine.randomness import Draw
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining as Dials
from components.lib.objectives.rotation import Config, Objective, turned
from tests.components.lib.objectives.images import Arrays, images, trunk


def draw(count: int = 10, epoch: int = 0) -> Draw:
    return Draw(np.arange(count), np.full(count, epoch, dtype=np.int64), 3)


def test_turns_are_numpys():
    pixels, turns = torch.rand(9, 2, 5, 5), torch.arange(9) % 4
    made = turned(pixels, turns)
    for image, number, result in zip(pixels, turns, made, strict=True):
        assert np.array_equal(result, np.rot90(image, int(number), (1, 2)))
    assert torch.equal(turned(made, -turns % 4), pixels)


@pytest.mark.parametrize("architecture", ["cnn", "vit"])
def test_value_is_the_cross_entropy_of_the_turn(architecture):
    samples = images(architecture=architecture)
    objective = Objective(Config(), trunk(samples)).eval()
    batch = objective.prepare(samples, draw())
    turns = batch.extra["turns"]
    with torch.no_grad():
        loss = objective(batch)
        pooled = objective.trunk.pool(objective.trunk.read(turned(batch.pixels(), turns)))
        chances = objective.head(pooled).double().softmax(dim=1)
    expected = -sum(float(row[turn].log()) for row, turn in zip(chances, turns, strict=True))
    assert loss.total.item() == pytest.approx(expected, rel=1e-5)
    assert loss.parts["accuracy"].item() == (chances.argmax(1) == turns).sum()


def test_turns_are_even_and_change_with_the_epoch():
    samples = images(count=1000)
    objective = Objective(Config(), trunk(samples))
    first, second = (objective.prepare(samples, draw(1000, epoch)).extra["turns"] for epoch in (0, 1))
    assert (np.bincount(first, minlength=4) / 250 - 1).max() < 0.2
    assert (first == second).float().mean().item() == pytest.approx(0.25, abs=0.05)


def test_oblong_images_are_told():
    samples = Images(Dials(size="nano"), Arrays(np.arange(4 * 8 * 12, dtype=np.uint8).reshape(4, 8, 12, 1)))
    with pytest.raises(ConfigError, match="another shape"):
        Objective(Config(), trunk(samples))
