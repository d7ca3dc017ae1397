"""Detection: every kind of trunk learns boxes; where boxes lie on a canvas; what is refused."""

from __future__ import annotations

import io
import json
import random

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from components.lib.core.errors import ConfigError, DataError
from components.lib.data import images, shapes
from components.lib.engine.distributed import World
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.image import centres
from components.lib.modalities.image.canvas import Canvas
from components.lib.models.vision.architectures import ARCHITECTURES, Dials
from components.lib.tasks import detection as task

CANVAS = Canvas(16, 16, 1, "crop", (0.3,), (0.3,))
PICTURE = images.png(np.zeros((16, 16, 1), np.uint8))


def labelled(count: int, seed: int = 0):
    draw = random.Random(seed)
    records = [shapes.record(draw) for _ in range(count)]
    pairs = [task.parse(images.content(record["image"]), record["objects"]) for record in records]
    return [value for value, _ in pairs], [objects for _, objects in pairs]


def model(architecture: str, names: list[str]) -> torch.nn.Module:
    torch.manual_seed(0)
    return task.model(ARCHITECTURES[architecture](Dials("nano", 16, 16, 1, 4)), names)


@pytest.mark.parametrize("architecture", ["cnn", "resnet", "vit"])
def test_each_kind_of_trunk_learns_a_batch_by_heart_and_is_kept(architecture, tmp_path):
    files, objects = labelled(16)
    names = task.classes(objects)
    samples = task.encode(CANVAS, files, objects, names)
    net, ones = model(architecture, names), np.ones((1, 16))
    before = task.metrics(task.outcomes(net, samples, names), ones, names)[task.PRIMARY][0]
    net.train()
    term = WeightedSum({"detection": task.Task(net)}, {"detection": 1.0})
    plan = Plan(Schedule("linear", 5e-3, 100, 0.1), quiet=True)
    Run(term, samples, Order(16, 16, 0), plan, World(0, 1, torch.device("cpu"))).train()
    after = task.outcomes(net, samples, names)
    assert task.metrics(after, ones, names)[task.PRIMARY][0] > 0.9 > 0.3 > before
    net.save_pretrained(tmp_path)
    CANVAS.save(tmp_path)
    table = pa.table({"image": files, "label": objects})
    again = task.score(tmp_path, table)
    assert all(again[name].tolist() == after[name].tolist() for name in ("objects", "found", "right"))
    assert [one.tolist() for one in again["matched"]] == [one.tolist() for one in after["matched"]]
    note, shown = task.pictures(tmp_path, table.slice(0, 3))
    assert note and [images.decode(png).shape for png, _ in shown] == [(112, 228, 3)] * 3


def test_a_trunk_without_maps_is_refused():
    with pytest.raises(ConfigError, match="no maps"):
        model("mlp", ["a"])


def test_the_boxes_of_the_answer_are_those_of_the_picture():
    """A picture twice as large and cropped by the canvas: what is found comes back where it lies in it."""
    files, objects = labelled(16)
    names = task.classes(objects)
    net = model("cnn", names).eval()
    wide, moved = [], []
    for data, rows in zip(files, objects, strict=True):
        one = np.pad(images.decode(data).repeat(2, axis=0).repeat(2, axis=1), ((0, 0), (10, 10), (0, 0)))
        wide.append(images.png(one))
        moved.append([{**row, "box": [2 * v + (10 if i % 2 == 0 else 0) for i, v in enumerate(row["box"])]}
                      for row in rows])  # fmt: skip
    small, large = task.encode(CANVAS, files, objects, names), task.encode(CANVAS, wide, moved, names)
    assert all(np.allclose(a, b) for a, b in zip(small.targets, large.targets, strict=True))
    with torch.no_grad():
        pixels = small.batch(np.arange(4)).normal()
        plain = task.answers(net, pixels, CANVAS, [(16, 16)] * 4)
        placed = task.answers(net, pixels, CANVAS, [(32, 52)] * 4)
    boxes = [
        [np.array([o["box"] for o in json.loads(row["objects"])]) for row in rows] for rows in (plain, placed)
    ]
    assert all(np.allclose(2 * a + [10, 0, 10, 0], b, atol=0.03) for a, b in zip(*boxes, strict=True))


def test_what_the_canvas_cuts_off_does_not_count():
    objects = [[{"box": [0, 0, 4, 4], "label": "a"}, {"box": [6, 2, 14, 8], "label": "a"}]]
    file = [images.png(np.zeros((16, 32, 1), np.uint8))]  # the middle 16 of 32 columns remain
    assert task.encode(CANVAS, file, objects, ["a"]).targets[0].tolist() == [[0, 0, 2, 6, 8]]
    padded = task.encode(Canvas(16, 16, 1, "pad"), file, objects, ["a"]).targets[0]
    assert padded.tolist() == [[0, 0, 4, 2, 6], [0, 3, 5, 7, 8]]


def test_losses_are_the_papers():
    """Against loops over places and objects, in float64."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 4, generator=generator, dtype=torch.float64)
    y, x = centres.places((4, 4), 4, logits.device)
    away = 3 * torch.rand(2, 4, 4, 4, generator=generator, dtype=torch.float64) + 1
    boxes = torch.stack([x - away[:, 0], y - away[:, 1], x + away[:, 2], y + away[:, 3]], dim=1)
    targets = [torch.tensor([[0.0, 1, 2, 9, 11], [2, 6, 6, 15, 14]]), torch.zeros(0, 5)]
    found = centres.losses(logits, boxes, targets)
    for number, objects in enumerate(targets):
        expected = _by_hand(logits[number], boxes[number], objects.double())
        assert [float(one[number]) for one in found] == pytest.approx(expected, rel=1e-6)


def _by_hand(logits, boxes, objects) -> list[float]:
    heat, sides = torch.zeros_like(logits), 0.0
    for kind, left, top, right, bottom in objects.tolist():
        middle = [((low + high) / 2 // 4 + 0.5) * 4 for low, high in ((left, right), (top, bottom))]
        spread = [max(0.09 * (high - low), 4 / 3) for low, high in ((left, right), (top, bottom))]
        lost = weight = 0.0
        for row, column in np.ndindex(4, 4):
            place = (column * 4 + 2, row * 4 + 2)
            height = float(
                np.exp(-sum(((p - m) / s) ** 2 for p, m, s in zip(place, middle, spread, strict=True)) / 2)
            )
            heat[int(kind), row, column] = max(heat[int(kind), row, column], height)
            if height >= 0.3:
                a = boxes[:, row, column].tolist()
                inner = max(0, min(a[2], right) - max(a[0], left)) * max(
                    0, min(a[3], bottom) - max(a[1], top)
                )
                union = (a[2] - a[0]) * (a[3] - a[1]) + (right - left) * (bottom - top) - inner
                hull = (max(a[2], right) - min(a[0], left)) * (max(a[3], bottom) - min(a[1], top))
                lost += height * (1 - inner / union + (hull - union) / hull)
                weight += height
        sides += lost / weight
    focal = 0.0
    for logit, wanted in zip(logits.flatten().tolist(), heat.flatten().tolist(), strict=True):
        chance = 1 / (1 + np.exp(-logit))
        focal -= ((1 - chance) ** 2 * np.log(chance) if wanted == 1
                  else (1 - wanted) ** 4 * chance**2 * np.log(1 - chance))  # fmt: skip
    many = max(1, len(objects))
    return [focal / many, sides / many]


BAD = {
    "outside": [{"box": [0, 0, 17, 5], "label": "a"}],
    "left of it": [{"box": [-1, 0, 4, 5], "label": "a"}],
    "no area": [{"box": [3, 3, 3, 9], "label": "a"}],
    "turned": [{"box": [9, 3, 3, 9], "label": "a"}],
    "not a number": [{"box": [float("nan"), 3, 3, 9], "label": "a"}],
    "three sides": [{"box": [1, 2, 3], "label": "a"}],
    "words": [{"box": "abcd", "label": "a"}],
    "no class": [{"box": [1, 2, 3, 4]}],
    "empty class": [{"box": [1, 2, 3, 4], "label": " "}],
    "class of nothing": [{"box": [1, 2, 3, 4], "label": None}],
    "share": [{"box": [1, 2, 3, 4], "label": 0.5}],
    "unequal lists": {"bbox": [[1, 2, 3, 4]], "category": []},
    "no list": 3,
    "nothing": None,
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_objects_are_refused(name):
    with pytest.raises(DataError):
        task.parse(PICTURE, BAD[name])


def test_both_ways_to_write_objects_are_one():
    corner = [{"box": [1, 2, 4, 7], "label": 3}, {"box": [0, 0, 16, 16], "label": 5}]
    size = {"bbox": [[1, 2, 3, 5], [0, 0, 16, 16]], "category": [3, 5]}
    assert task.parse(PICTURE, corner) == task.parse(PICTURE, size)
    assert task.parse(PICTURE, []) == (PICTURE, [])


def test_boxes_are_those_of_the_upright_picture():
    """A camera's note that the picture lies on its side swaps its sides."""
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (8, 4)).save(file, "JPEG", exif=exif)
    assert task.parse(file.getvalue(), [{"box": [0, 0, 4, 8], "label": "a"}])[1]
    with pytest.raises(DataError, match="leaves the picture"):
        task.parse(file.getvalue(), [{"box": [0, 0, 8, 4], "label": "a"}])
