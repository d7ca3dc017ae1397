"""Decoders: shapes of any image, and which place of a map draws which pixels."""

import pytest
import torch

from components.lib.models.vision.decoders import SubPixelDecoder


@pytest.mark.parametrize(("size", "start"), [((28, 28), (2, 2)), ((33, 20), (3, 2)), ((16, 35), (1, 3))])
def test_each_place_draws_its_own_square(size, start):
    torch.manual_seed(0)
    decoder = SubPixelDecoder(8, 3, size, start)
    maps = torch.rand(2, 8, *start)
    changed = maps.clone()
    changed[:, :, 0, -1] += 1.0
    drawn, other = decoder(maps), decoder(changed)
    assert drawn.shape == (2, 3, *size)
    side = decoder.side
    moved = (drawn != other).any(dim=1).any(dim=0)
    expected = torch.zeros(size, dtype=torch.bool)
    expected[:side, (start[1] - 1) * side :] = True
    assert torch.equal(moved, expected)
