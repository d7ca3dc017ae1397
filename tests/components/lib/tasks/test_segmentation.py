"""Segmentation against scikit-learn, and masks on a canvas."""

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score

from components.lib.core.errors import ConfigError, DataError
from components.lib.data import images
from components.lib.data.masks import IGNORED
from components.lib.modalities.image.canvas import Canvas
from components.lib.models.vision.architectures import ARCHITECTURES, Dials
from components.lib.tasks import Reading
from components.lib.tasks import segmentation as task
from tests import made


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
    mask = np.zeros((40, 120), np.uint16)
    mask[:, 30:90] = 7
    for fit in ("crop", "pad", "stretch"):
        canvas = Canvas(20, 30, 1, fit)
        found = canvas.mask(mask)
        shown = canvas.pixels((mask * 30).astype(np.uint8)[:, :, None])[:, :, 0]
        assert set(np.unique(found)) == {0, 7, *([IGNORED] if fit == "pad" else [])} - (
            {0} if fit == "crop" else set()
        )
        assert ((found == 7) == (shown > 105)).mean() > 0.96
    assert (Canvas(40, 120, 1).mask(mask) == mask).all()


@pytest.mark.parametrize("mask", [np.zeros((3, 3), int), np.zeros((16, 16, 3), int), None, "a.png"])
def test_masks_that_do_not_fit_are_refused(mask):
    with pytest.raises(DataError):
        task.parse({"image": images.png(np.zeros((16, 16, 1), np.uint8)), "label": mask}, Reading())


def test_pixels_without_a_class_leave_loss_and_metric():
    """Whatever is guessed there; on the borders of a padded image too."""
    one = made.branch("segmentation", "image", "cnn")
    one.model.eval()
    reading = Reading(options=task.Config())
    image = images.png(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    mask = np.zeros((16, 16), int)
    mask[:, 8:] = 1
    void = mask.copy()
    void[4:12] = 255
    labels = [task.parse({"image": image, "label": label}, reading)[1] for label in (mask, void)]
    assert [*reading.notices.values()] == [1] and "255, -1" in next(iter(reading.notices))
    assert task.classes(labels) == ["0", "1"]
    samples = task.encode(one.reader, {"image": [image] * 2}, labels, ["0", "1"])
    assert (samples.targets[1][4:12] == task.NONE).all() and (samples.targets >= 0).sum() == 256 + 128
    found = task.outcomes(one.model, samples, ["0", "1"])
    guess = task._guessed(one.model, samples)[1]
    counted = void != 255
    for name, number in (("0", 0), ("1", 1)):
        mine, theirs = (guess == number)[counted], void[counted] == number
        assert found[f"both/{name}"][1] == (mine & theirs).sum()
        assert found[f"either/{name}"][1] == (mine | theirs).sum()
    logits = one.model(samples.batch([1]).normal()).detach().permute(0, 2, 3, 1)[0][torch.from_numpy(counted)]
    expected = torch.nn.functional.cross_entropy(logits, torch.from_numpy(void[counted]))
    assert float(task.Objective(one.model)(samples.batch([1])).total.detach()) == pytest.approx(
        float(expected), rel=1e-5
    )
    assert task.Config(ignore=()).ignore == ()
    kept = task.parse({"image": image, "label": void}, Reading(options=task.Config(ignore=())))[1]
    assert task.classes([kept]) == ["0", "1", "255"]
