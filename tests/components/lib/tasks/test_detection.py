"""Detection: its losses are the papers', where boxes lie on a canvas, and what is refused."""

import json

import numpy as np
import pytest
import torch

from components.lib.core.errors import DataError
from components.lib.data import images
from components.lib.modalities.image import centres
from components.lib.modalities.image.canvas import Canvas
from components.lib.modalities.image.labelled import Reader
from components.lib.tasks import Reading
from components.lib.tasks import detection as task
from tests import made

CANVAS = Canvas(16, 16, 1, "crop", (0.3,), (0.3,))
PICTURE = images.png(np.zeros((16, 16, 1), np.uint8))


def reader(canvas: Canvas = CANVAS) -> Reader:
    return Reader(canvas)


def parsed(objects):
    """The objects of the picture."""
    return task.parse({"image": PICTURE, "label": objects}, Reading())[1]


def test_the_boxes_of_the_answer_are_those_of_the_picture():
    """One twice as large, of which the canvas cuts off the sides: what is found lies where it lies in it."""
    one = made.branch("detection", "image", "cnn")
    one.model.eval()
    flat = [images.png(np.full((*shape, 3), 90, np.uint8)) for shape in ((16, 16), (32, 52))]
    answers = task.answer(one.model, one.reader, {"image": flat})
    small, large = (np.array([found["box"] for found in json.loads(row["objects"])]) for row in answers)
    assert len(small) and np.allclose(2 * small + [10, 0, 10, 0], large, atol=0.03)
    box, placed = [2, 3, 9, 11], [14, 6, 28, 22]
    objects = [[{"box": sides, "label": one.names[0]}] for sides in (box, placed)]
    targets = task.encode(one.reader, {"image": flat}, objects, one.names).targets
    assert targets[0].tolist() == targets[1].tolist() == [[0, *box]]


def test_what_the_canvas_cuts_off_does_not_count():
    objects = [[{"box": [0, 0, 4, 4], "label": "a"}, {"box": [6, 2, 14, 8], "label": "a"}]]
    file = [images.png(np.zeros((16, 32, 1), np.uint8))]  # the middle 16 of 32 columns remain
    cropped, padded = (
        task.encode(reader(canvas), {"image": file}, objects, ["a"]).targets[0]
        for canvas in (CANVAS, Canvas(16, 16, 1, "pad"))
    )
    assert cropped.tolist() == [[0, 0, 2, 6, 8]]
    assert padded.tolist() == [[0, 0, 4, 2, 6], [0, 3, 5, 7, 8]]


def test_crowds_leave_loss_and_metric():
    """The loss is that without them; what is found in them is neither right nor wrong."""
    one = made.branch("detection", "image", "cnn")
    one.model.eval()
    item = {"box": [2, 3, 9, 11], "label": one.names[0]}
    crowd = {"box": [0, 0, 16, 16], "label": one.names[-1], "crowd": True}
    file = [images.png(np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))]
    without, with_ = (
        task.encode(one.reader, {"image": file}, [each], one.names) for each in ([item], [item, crowd])
    )
    term = task.Objective(one.model)
    totals = [float(term(samples.batch([0])).total.detach()) for samples in (without, with_)]
    assert totals[0] == totals[1]
    plain, crowded = (task.outcomes(one.model, samples, one.names) for samples in (without, with_))
    kinds, bits = crowded["class"][0], crowded["matched"][0]
    assert crowded["objects"].tolist() == [1] and (kinds == len(one.names) - 1).any()
    assert ((bits >> 10 > 0) == ((kinds == len(one.names) - 1) & (plain["matched"][0] != 1023))).all()
    assert task.classes([[item, crowd]]) == [one.names[0]]


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
        focal -= (
            (1 - chance) ** 2 * np.log(chance)
            if wanted == 1
            else (1 - wanted) ** 4 * chance**2 * np.log(1 - chance)
        )
    many = max(1, len(objects))
    return [focal / many, sides / many]


BAD = {
    "outside": [{"box": [9, 0, 27, 5], "label": "a"}],
    "left of it": [{"box": [-9, 0, 4, 5], "label": "a"}],
    "shares": [{"box": [0.1, 0.2, 0.5, 1], "label": "a"}],
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
        parsed(BAD[name])


def test_both_ways_to_write_objects_are_one():
    corner = [{"box": [1, 2, 4, 7], "label": 3}, {"box": [0, 0, 16, 16], "label": 5}]
    size = {"bbox": [[1, 2, 3, 5], [0, 0, 16, 16]], "category": [3, 5]}
    assert parsed(corner) == parsed(size) and parsed([]) == []
