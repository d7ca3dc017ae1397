"""Augmentations against Pillow, SciPy and their definitions; each depends on its own sample alone."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import ndimage

from components.lib.engine import device_noise
from components.lib.engine.randomness import Draw
from components.lib.modalities.image.augmentation import LUMA, Recipe, Strength, apply, recipe

FULL = Strength(crop=0.3, flip=0.5, jitter=0.8, grey=0.3, blur=0.5, rotation=30, noise=0.1)


def pictures(count: int = 12, channels: int = 3, size: int = 20) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 5, 5, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


def draw(count: int = 12, epoch: int = 0, seed: int = 0) -> Draw:
    return Draw(np.arange(count), np.full(count, epoch, dtype=np.int64), seed)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_no_strength_changes_nothing(channels):
    images = pictures(channels=channels)
    assert torch.equal(apply(images, recipe(Strength(), draw(), "v", channels)), images)


@given(
    st.builds(
        Strength,
        crop=st.floats(0.05, 1),
        flip=st.floats(0, 1),
        jitter=st.floats(0, 1.25),
        grey=st.floats(0, 1),
        blur=st.floats(0, 1),
        rotation=st.floats(0, 180),
        noise=st.floats(0, 1),
    ),
    st.sampled_from([1, 3]),
    st.integers(0, 2**32),
)
@example(Strength(crop=1.0, blur=1.0), 1, 441)  # was above 1 by a rounding
@settings(max_examples=40, deadline=None)
def test_pixels_stay_in_range_and_repeat(strength, channels, seed):
    images = pictures(6, channels)
    one, two = (apply(images, recipe(strength, draw(6, seed=seed), "v", channels)) for _ in range(2))
    assert torch.equal(one, two) and one.shape == images.shape
    assert one.isfinite().all() and one.min() >= 0 and one.max() <= 1


@given(st.permutations(range(12)), st.integers(1, 11))
@settings(max_examples=15, deadline=None)
def test_a_view_depends_on_its_sample_and_not_on_the_batch(order, cut):
    images, ids = pictures(), np.array(order)
    whole = apply(images, recipe(FULL, draw(), "v", 3))
    parts = []
    for rows in (ids[:cut], ids[cut:]):
        part = Draw(rows, np.zeros(len(rows), dtype=np.int64), 0)
        parts.append(apply(images[rows], recipe(FULL, part, "v", 3)))
    torch.testing.assert_close(torch.cat(parts), whole[ids], atol=1e-5, rtol=0)


def test_views_epochs_and_seeds_are_independent():
    count = 4000
    chosen = [
        recipe(FULL, draw(count, epoch, seed), stream, 3).affine.flatten(1).numpy()
        for epoch, seed, stream in ((0, 0, "view 0"), (0, 0, "view 1"), (1, 0, "view 0"), (0, 1, "view 0"))
    ]
    for other in chosen[1:]:
        for column in range(6):
            correlation = np.corrcoef(chosen[0][:, column], other[:, column])[0, 1]
            assert abs(correlation) < 5 / math.sqrt(count)


def test_shares_and_ranges_are_what_was_asked_for():
    chosen = recipe(FULL, draw(20000), "v", 3)
    area = torch.linalg.det(chosen.affine[:, :, :2].double()).abs()
    assert area.min() > 0.2 and area.max() <= 1 + 1e-6
    assert (torch.linalg.det(chosen.affine[:, :, :2]) < 0).float().mean() == pytest.approx(0.5, abs=0.02)
    assert len(chosen.blurred) / 20000 == pytest.approx(0.5, abs=0.02)
    assert (chosen.sigma.min(), chosen.sigma.max()) == pytest.approx((0.1, 2.0), abs=0.01)
    drained = (chosen.colour[:, 0] - chosen.colour[:, 1]).abs().amax(1) < 1e-6
    assert drained.float().mean() == pytest.approx(0.3, abs=0.02)
    assert chosen.noise.min() >= 0 and chosen.noise.max() == pytest.approx(0.1, abs=0.001)


def test_geometry_is_scipys_bilinear_resampling():
    images = pictures(8, 1, 20)
    chosen = recipe(Strength(crop=0.3, flip=0.5, rotation=40), draw(8), "v", 1)
    ours = apply(images, chosen)[:, 0].numpy()
    centres = (2 * np.arange(20) + 1) / 20 - 1
    y, x = np.meshgrid(centres, centres, indexing="ij")
    for image, matrix, made in zip(
        images[:, 0].numpy(), chosen.affine.numpy().astype(float), ours, strict=True
    ):
        place_x = matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]
        place_y = matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]
        rows, columns = ((place + 1) * 10 - 0.5 for place in (place_y, place_x))
        expected = ndimage.map_coordinates(image, [rows, columns], order=1, mode="reflect")
        np.testing.assert_allclose(made, expected, atol=1e-4)


def test_a_mirrored_image_is_mirrored():
    images = pictures()
    chosen = recipe(Strength(flip=1.0), draw(), "v", 3)
    torch.testing.assert_close(apply(images, chosen), images.flip(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("enhancer", ["Brightness", "Contrast", "Color"])
def test_colours_are_pillows(enhancer):
    """One factor at a time, on an image where no colour is cut off; Pillow rounds to 1/255 in between."""
    image = (pictures(1)[0] * 0.5 + 0.25) * 255
    array = image.round().permute(1, 2, 0).numpy().astype(np.uint8)
    images = torch.from_numpy(array).permute(2, 0, 1)[None] / 255
    factor, grey = 1.2, torch.tensor(LUMA).expand(3, 3)
    colour, contrast = torch.eye(3)[None] * factor, torch.zeros(1)
    if enhancer == "Contrast":
        contrast = torch.tensor([1 - factor])
    if enhancer == "Color":
        colour = (grey + factor * (torch.eye(3) - grey))[None]
    ours = apply(images, Recipe(colour=colour, contrast=contrast))[0].permute(1, 2, 0) * 255
    theirs = np.asarray(getattr(ImageEnhance, enhancer)(Image.fromarray(array)).enhance(factor))
    assert np.abs(ours.numpy() - theirs).max() < 1.6


def test_a_turn_of_hue_keeps_luma_and_leaves_greys_alone():
    images = pictures(200) * 0.3 + 0.35
    chosen = recipe(Strength(jitter=1.0), draw(200), "v", 3)
    turn = chosen.colour / chosen.colour.sum(dim=2, keepdim=True)
    luma = torch.tensor(LUMA)
    grey = torch.full((3,), 0.5)
    torch.testing.assert_close(turn @ grey, grey.expand(200, 3), atol=1e-5, rtol=0)
    flat = images.flatten(2)
    torch.testing.assert_close(luma @ (turn @ flat), luma @ flat, atol=1e-4, rtol=0)
    assert (turn - torch.eye(3)).abs().amax() > 0.3


def test_blur_is_a_gaussian():
    images = pictures(4, 2, 40)
    chosen = recipe(Strength(blur=1.0), draw(4), "v", 2)
    ours = apply(images, chosen).numpy()
    offsets = np.arange(-2, 3)  # 5 % of 40 to each side
    for image, sigma, made in zip(images.numpy(), chosen.sigma.numpy(), ours, strict=True):
        kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
        kernel /= kernel.sum()
        expected = ndimage.correlate1d(
            ndimage.correlate1d(image, kernel, 1, mode="nearest"), kernel, 2, mode="nearest"
        )
        np.testing.assert_allclose(made, expected, atol=1e-5)


def test_noise_is_normal_and_independent():
    values = device_noise.gaussian(torch.arange(200) * 7919, 5000)
    assert values.mean().item() == pytest.approx(0, abs=0.005)
    assert values.std().item() == pytest.approx(1, abs=0.005)
    assert ((values**4).mean() / values.var() ** 2).item() == pytest.approx(3, abs=0.05)
    across = np.corrcoef(values[:, :60].numpy().T)
    assert np.abs(across - np.eye(60)).max() < 6 / math.sqrt(200)
    along = np.corrcoef(values.numpy())
    assert np.abs(along - np.eye(200)).max() < 6 / math.sqrt(5000)
    assert torch.equal(values[3:5], device_noise.gaussian(torch.tensor([3, 4]) * 7919, 5000))


def test_no_word_makes_infinite_noise():
    words = torch.tensor([0, -1, 0x7FFFFFFF, -(2**31), 511, -512], dtype=torch.int32)
    shares = device_noise.inside(words)
    assert shares.min() > 0 and shares.max() < 1
    assert torch.erfinv(shares * 2 - 1).isfinite().all()
