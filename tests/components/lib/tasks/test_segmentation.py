"""Segmentation against scikit-learn, on every family of trunks, and its outcomes as weights see them."""

from __future__ import annotations

import json
import random

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import jaccard_score

from components.lib.core.errors import ConfigError, DataError
from components.lib.data import images, shapes
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image.canvas import Canvas
from components.lib.models.vision.architectures import ARCHITECTURES, Dials
from components.lib.tasks import segmentation as task

CANVAS = Canvas(16, 16, 1, "crop", (0.3,), (0.3,))


def labelled(count: int, seed: int = 0) -> tuple[list[bytes], list[bytes]]:
    draw = random.Random(seed)
    records = [shapes.record(draw) for _ in range(count)]
    pairs = [task.parse(images.content(record["image"]), record["mask"]) for record in records]
    return [value for value, _ in pairs], [mask for _, mask in pairs]


def model(architecture: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return task.model(ARCHITECTURES[architecture](Dials("nano", 16, 16, 1, 4)), ["0", "1"])


@pytest.mark.parametrize("architecture", ["cnn", "resnet", "vit"])
def test_each_kind_of_trunk_learns_masks_and_is_kept(architecture, tmp_path):
    files, masks = labelled(16)
    assert task.classes(masks) == ["0", "1"]
    samples = task.encode(CANVAS, files, masks, ["0", "1"])
    net = model(architecture)
    before = task.outcomes(net, samples, ["0", "1"])
    net.train()
    term = WeightedSum({"segmentation": task.Task(net)}, {"segmentation": 1.0})
    plan = Plan(Schedule("linear", 1e-2, 60, 0.1), quiet=True)
    Run(term, samples, Order(16, 16, 0), plan, World(0, 1, torch.device("cpu"))).train()
    after = task.outcomes(net, samples, ["0", "1"])
    ones = np.ones((1, 16))
    scores = [task.metrics(found, ones, ["0", "1"])["mean_iou"][0] for found in (before, after)]
    assert scores[1] > 0.8 > scores[0]
    net.save_pretrained(tmp_path)
    CANVAS.save(tmp_path)
    again = task.score(tmp_path, pa.table({"image": files, "label": masks}))
    assert all((again[name] == after[name]).all() for name in after)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["Segmenter"]


def test_a_trunk_without_maps_is_refused():
    with pytest.raises(ConfigError, match="no maps"):
        model("mlp")


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
    columns = {name: np.array([value]) for name, value in
               {"both/0": 3, "either/0": 4, "both/1": 0, "either/1": 0}.items()}  # fmt: skip
    assert task.metrics(columns, np.ones((1, 1)), ["0", "1"])["mean_iou"][0] == pytest.approx(0.75)


def test_masks_are_sized_as_their_images():
    mask = np.zeros((40, 120, 1), np.uint8)
    mask[:, 30:90] = 7
    for fit in images.FITS:
        canvas = Canvas(20, 30, 1, fit)
        found = canvas.mask(mask)
        shown = canvas.pixels(mask * 30)[:, :, 0]
        assert set(np.unique(found)) <= {0, 7} and ((found == 7) == (shown > 105)).mean() > 0.96
    assert (Canvas(40, 120, 1).mask(mask) == mask[:, :, 0]).all()


@pytest.mark.parametrize("mask", [np.zeros((3, 3), int), np.zeros((16, 16, 3), int), None, "a.png"])
def test_masks_that_do_not_fit_are_refused(mask):
    files, _ = labelled(1)
    with pytest.raises(DataError):
        task.parse(files[0], mask)
