"""Colorization: luma in, chroma out, and the way back."""

import colorsys

import numpy as np
import pytest
import torch

from components.lib.core.errors import ConfigError
from components.lib.engine.randomness import Draw
from components.lib.objectives.colorization import Config, Objective, joined, split
from tests.components.lib.objectives.images import images, trunk


def draw(count: int = 10) -> Draw:
    return Draw(np.arange(count), np.zeros(count, dtype=np.int64), 3)


def test_luma_and_chroma_are_those_of_yiq():
    """Python's colorsys rounds its matrix to two digits."""
    pixels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    grey, chroma = split(pixels)
    for place in np.ndindex(2, 4, 4):
        colour = pixels[place[0], :, place[1], place[2]].tolist()
        y, i, q = colorsys.rgb_to_yiq(*colour)
        found = [grey[place[0], 0, place[1], place[2]], *chroma[place[0], :, place[1], place[2]]]
        assert [float(value) for value in found] == pytest.approx([y, i, q], abs=0.02)
    torch.testing.assert_close(joined(grey, chroma), pixels, atol=1e-5, rtol=0)


@pytest.mark.parametrize("architecture", ["cnn", "vit"])
def test_value_is_the_error_of_chroma_from_luma_alone(architecture):
    samples = images(channels=3, architecture=architecture)
    objective = Objective(Config(), trunk(samples)).eval()
    batch = objective.prepare(samples, draw())
    with torch.no_grad():
        loss = objective(batch)
        grey, chroma = split(batch.plain())
        hidden = objective.trunk.read(batch.frame.normal(grey.repeat(1, 3, 1, 1)))
        drawn = objective.decoder(objective.trunk.maps(hidden)).double()
    expected = sum(((a - 10 * b.double()) ** 2).mean() for a, b in zip(drawn, chroma, strict=True))
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_grey_images_are_told():
    with pytest.raises(ConfigError, match="without colours"):
        Objective(Config(), trunk(images()))
