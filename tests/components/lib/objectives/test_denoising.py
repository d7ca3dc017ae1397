"""Denoising against its formula: the noise is what was asked for, the target is clean."""

import numpy as np
import pytest
import torch

from components.lib.engine.randomness import Draw
from components.lib.objectives.denoising import Config, Objective
from tests.components.lib.objectives.images import images, trunk


def draw(ids=range(10), epoch: int = 0) -> Draw:
    ids = np.array(ids)
    return Draw(ids, np.full(len(ids), epoch, dtype=np.int64), 3)


def test_value_is_the_error_against_the_clean_image():
    samples = images()
    objective = Objective(Config(noise=0.5), trunk(samples)).eval()
    batch = objective.prepare(samples, draw())
    with torch.no_grad():
        pixels = batch.pixels()
        noisy = objective._noisy(pixels, batch.extra["keys"])
        drawn = objective.decoder(objective.trunk.read(noisy)).double()
        loss = objective(batch)
    expected = sum(((a - b) ** 2).mean() for a, b in zip(drawn, pixels.double(), strict=True))
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert (noisy - pixels).std().item() == pytest.approx(0.5, abs=0.03)


def test_noise_depends_on_the_sample_and_the_epoch_alone():
    samples = images()
    objective = Objective(Config(), trunk(samples))

    def noisy(one: Draw) -> torch.Tensor:
        batch = objective.prepare(samples, one)
        return objective._noisy(batch.pixels(), batch.extra["keys"])

    torch.testing.assert_close(noisy(draw([4, 7]))[1], noisy(draw([7, 1, 2]))[0])
    assert not torch.allclose(noisy(draw([4]))[0], noisy(draw([4], epoch=1))[0], atol=0.5)
