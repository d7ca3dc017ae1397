"""Masked autoencoding against its definition: what is hidden is not read, and only it is scored."""

import numpy as np
import pytest
import torch

from components.lib.engine.randomness import Draw
from components.lib.objectives.masked_image import Config, Objective, normalised
from tests.components.lib.objectives.images import images, trunk


def draw(ids=range(10)) -> Draw:
    ids = np.array(ids)
    return Draw(ids, np.zeros(len(ids), dtype=np.int64), 3)


def built(channels: int = 1, **options):
    samples = images(architecture="vit", channels=channels, flip=0.0, crop=1.0)
    return samples, Objective(Config(**options), trunk(samples)).eval()


def test_patches_are_the_squares_of_the_image():
    samples, objective = built(channels=3)
    pixels = samples.view(draw(), "any").pixels()
    patches = objective.patches(pixels)
    for number in range(16):
        top, left = 4 * (number // 4), 4 * (number % 4)
        square = pixels[:, :, top : top + 4, left : left + 4].flatten(1)
        assert torch.equal(patches[:, number], square)


@pytest.mark.parametrize("relative", [True, False])
def test_value_is_the_error_of_the_hidden_patches(relative):
    samples, objective = built(normalised=relative)
    batch = objective.prepare(samples, draw())
    with torch.no_grad():
        loss = objective(batch)
        pixels, order = batch.pixels(), batch.extra["order"]
        drawn = objective._drawn(pixels, order)[0].double()
    targets, total = objective.patches(pixels).double(), 0.0
    if relative:
        mean, variance = targets.mean(2, keepdim=True), targets.var(2, keepdim=True)
        targets = (targets - mean) / (variance + 1e-6) ** 0.5
    assert objective.visible == 4 and objective.count == 16
    for image in range(10):
        hidden = order[image, 4:]
        total += float(((drawn[image, hidden] - targets[image, hidden]) ** 2).mean())
    assert loss.total.item() == pytest.approx(total, rel=1e-5)


def test_the_encoder_cannot_see_what_is_hidden():
    samples, objective = built(normalised=False)
    batch = objective.prepare(samples, draw())
    pixels, order = batch.pixels().requires_grad_(), batch.extra["order"]
    drawn, hidden = objective._drawn(pixels, order)
    assert hidden.shape == (10, 4, objective.trunk.width)
    drawn.square().sum().backward()
    seen = objective.patches(pixels.grad.abs()).sum(dim=2) > 0
    expected = torch.zeros(10, 16, dtype=torch.bool).scatter(1, order[:, :4], True)
    assert torch.equal(seen, expected)


def test_what_is_hidden_is_even_and_depends_on_the_sample_alone():
    samples, objective = built()
    order = objective.prepare(samples, draw(range(40))).extra["order"]
    assert torch.equal(objective.prepare(samples, draw([7, 3])).extra["order"], order[[7, 3]])
    many = np.argsort(Draw(np.arange(4000), np.zeros(4000, dtype=np.int64), 0).uniform("hide", 16), axis=1)
    counts = np.bincount(many[:, :4].ravel(), minlength=16)
    assert np.abs(counts / 1000 - 1).max() < 0.15


def test_gradient_of_the_target_is_none():
    torch.manual_seed(0)
    patches = torch.randn(2, 3, 8, dtype=torch.float64)
    made = normalised(patches)
    assert made.mean(2).abs().max() < 1e-9 and (made.var(2) - 1).abs().max() < 1e-4
