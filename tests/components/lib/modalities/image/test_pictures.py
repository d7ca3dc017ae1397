"""Pictures are PNG files that another library reads; a map and neighbours show what features say."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from components.lib.modalities.image.pictures import GAP, MAP, SIDE, Picture, grid, neighbours, scattered


def test_another_library_reads_the_png():
    canvas = np.random.default_rng(0).integers(0, 256, (13, 29, 3)).astype(np.uint8)
    with Image.open(io.BytesIO(Picture("a", canvas).png())) as image:
        image.verify()
    with Image.open(io.BytesIO(Picture("a", canvas).png())) as image:
        assert np.array_equal(np.asarray(image), canvas)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_grid_holds_each_image_at_its_place(channels):
    rows = [torch.rand(3, channels, 8, 8), torch.rand(3, channels, 8, 8)]
    canvas = grid(rows)
    assert canvas.shape == (2 * SIDE + GAP, 3 * SIDE + 2 * GAP, 3)
    image = rows[1][2, :3] if channels > 1 else rows[1][2].expand(3, -1, -1)
    cell = canvas[SIDE + GAP :, 2 * (SIDE + GAP) :]
    expected = (image * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(cell[:: SIDE // 8, :: SIDE // 8], expected)


def test_a_map_puts_two_kinds_apart():
    images = torch.zeros(40, 3, 4, 4)
    images[:20, 0], images[20:, 2] = 1, 1
    features = torch.randn(40, 10, generator=torch.Generator().manual_seed(0))
    features[20:, 3] += 30
    canvas = scattered(images, features)
    red, blue = ((canvas[..., c] == 255) & (canvas[..., 2 - c] == 0) for c in (0, 2))
    places = [np.argwhere(kind) / MAP for kind in (red, blue)]
    assert min(map(len, places)) > 0
    apart = np.abs(places[0].mean(axis=0) - places[1].mean(axis=0)).max()
    assert apart > 0.8


def test_neighbours_are_those_of_the_same_direction():
    images = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 8, 8) / 6
    features = torch.tensor([[1.0, 0], [0, 1], [5, 0.1], [0.1, 3], [-1, 0], [0, -2]])
    canvas = neighbours(images, features, 2, 1)
    shown = canvas[:: SIDE + GAP, :: SIDE + GAP, 0]
    assert shown.tolist() == [[0, round(2 / 6 * 255)], [round(255 / 6), round(3 / 6 * 255)]]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_images_are_drawn_as_well(count):
    images, features = torch.rand(count, 3, 8, 8), torch.randn(count, 4)
    assert scattered(images, features).shape == (MAP, MAP, 3)
    canvas = neighbours(images, features, 8, 3)
    assert canvas.shape[0] == count * (SIDE + GAP) - GAP
