"""Segmentation against scikit-learn, and masks on a canvas."""

import numpy as np
import pytest
from sklearn.metrics import jaccard_score

from components.lib.core.errors import ConfigError, DataError
from components.lib.data import images
from components.lib.modalities.image.canvas import Canvas
from components.lib.models.vision.architectures import ARCHITECTURES, Dials
from components.lib.tasks import segmentation as task


def test_a_trunk_without_maps_is_refused():
    with pytest.raises(ConfigError, match="no maps"):
        task.model(ARCHITECTURES["mlp"](Dials("nano", 16, 16, 1, 4)), ["0", "1"])


def test_intersection_over_union_is_scikit_learns():
    rng = np.random.default_rng(0)
    real, guessed = rng.integers(0, 3, (2, 10, 8, 8))
    names = ["0", "1", "2"]
    columns = {}
    for number, name in enumerate(names):
        mine, theirs = guessed == number, real == number
        columns[f"both/{name}"] = (mine & theirs).sum(axis=(1, 2))
        columns[f"either/{name}"] = (mine | theirs).sum(axis=(1, 2))
    weights = rng.integers(0, 3, (4, 10))
    found = task.metrics(columns, weights, names)
    for row, counts in enumerate(weights):
        pair = [np.repeat(masks, counts, axis=0).ravel() for masks in (real, guessed)]
        assert found["mean_iou"][row] == pytest.approx(jaccard_score(*pair, average="macro"))
        assert found["iou_1"][row] == pytest.approx(jaccard_score(*pair, average=None)[1])


def test_a_class_that_no_mask_holds_does_not_count():
    columns = {
        name: np.array([value])
        for name, value in {"both/0": 3, "either/0": 4, "both/1": 0, "either/1": 0}.items()
    }
    assert task.metrics(columns, np.ones((1, 1)), ["0", "1"])["mean_iou"][0] == pytest.approx(0.75)


def test_masks_are_sized_as_their_images():
    mask = np.zeros((40, 120, 1), np.uint8)
    mask[:, 30:90] = 7
    for fit in ("crop", "pad", "stretch"):
        canvas = Canvas(20, 30, 1, fit)
        found = canvas.mask(mask)
        shown = canvas.pixels(mask * 30)[:, :, 0]
        assert set(np.unique(found)) <= {0, 7} and ((found == 7) == (shown > 105)).mean() > 0.96
    assert (Canvas(40, 120, 1).mask(mask) == mask[:, :, 0]).all()


@pytest.mark.parametrize("mask", [np.zeros((3, 3), int), np.zeros((16, 16, 3), int), None, "a.png"])
def test_masks_that_do_not_fit_are_refused(mask):
    with pytest.raises(DataError):
        task.parse({"image": images.png(np.zeros((16, 16, 1), np.uint8)), "label": mask})
