"""Average precision against pycocotools, as it is and under weights."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from components.lib.tasks import detection as task

NAMES = ["a", "b", "c"]  # no object is a c


def scene(images: int, seed: int = 0, crowds: float = 0):
    """Of each image true (kind, box) rows, and what was found: kinds, boxes and scores, surest first.

    Kinds of `crowds`, a share of the objects, are below 0: their place from the end.
    """
    rng, made = np.random.default_rng(seed), []
    for _ in range(images):
        corner, size = rng.uniform(0, 60, (rng.integers(0, 5), 2)), rng.uniform(8, 40, 2)
        real = np.hstack([rng.integers(0, 2, (len(corner), 1)), corner, corner + size])
        near = real[rng.random(len(real)) < 0.8]
        near = np.vstack([near, near[rng.random(len(near)) < 0.3], [[2, 1, 2, 30, 40]]])
        boxes = near[:, 1:] + rng.normal(0, 2.5, (len(near), 4))
        kinds = np.where(rng.random(len(near)) < 0.85, near[:, 0], 1 - near[:, 0].clip(max=1)).astype(int)
        score = np.sort(rng.random(len(near)))[::-1]
        real[rng.random(len(real)) < crowds, 0] -= len(NAMES)
        made.append((real, kinds, boxes, score))
    return made


def columns(made) -> dict[str, np.ndarray]:
    lists = {
        "real": [real[real[:, 0] >= 0, 0].astype(int) for real, *_ in made],
        "class": [kinds for _, kinds, _, _ in made],
        "score": [score for *_, score in made],
        "matched": [
            task.matched(kinds, boxes, real[real[:, 0] >= 0], real[real[:, 0] < 0] + [len(NAMES), 0, 0, 0, 0])
            for real, kinds, boxes, _ in made
        ],
    }
    filled = {name: np.empty(len(made), object) for name in lists}
    for name, values in lists.items():
        filled[name][:] = values
    return {"objects": np.array([len(one) for one in lists["real"]]), **filled}


def coco(made) -> COCOeval:
    truth, found = COCO(), []
    truth.dataset = {"images": [], "annotations": [], "categories": [{"id": k} for k in range(len(NAMES))]}
    for image, (real, kinds, boxes, score) in enumerate(made, 1):
        truth.dataset["images"].append({"id": image})
        for kind, left, top, right, bottom in real.tolist():
            box = [left, top, right - left, bottom - top]
            crowd = {"category_id": int(kind) % len(NAMES), "iscrowd": int(kind < 0)}
            entry = {"id": len(truth.dataset["annotations"]) + 1, "image_id": image, **crowd}
            truth.dataset["annotations"].append({**entry, "bbox": box, "area": box[2] * box[3]})
        for kind, (left, top, right, bottom), value in zip(kinds, boxes.tolist(), score, strict=True):
            box = [left, top, right - left, bottom - top]
            found.append({"image_id": image, "category_id": int(kind), "bbox": box, "score": float(value)})
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        one = COCOeval(truth, truth.loadRes(found), "bbox")
        one.evaluate()
        one.accumulate()
        one.summarize()
    return one


def check(values, row: int, reference: COCOeval) -> None:
    for name, number in ((task.PRIMARY, 0), ("average_precision_50", 1), ("average_precision_75", 2)):
        assert values[name][row] == pytest.approx(reference.stats[number], abs=1e-9)
    each = reference.eval["precision"][:, :, :, 0, 2].mean(axis=(0, 1))
    assert values["average_precision_a"][row] == pytest.approx(each[0], abs=1e-9)


@pytest.mark.parametrize("crowds", [0, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_cocos(seed, crowds):
    made = scene(30, seed, crowds)
    values = task.metrics(columns(made), np.ones((1, 30)), NAMES)
    assert 0.1 < values[task.PRIMARY][0] < 0.9
    check(values, 0, coco(made))
    assert np.isnan(values["average_precision_c"][0])


def test_weights_are_repetitions():
    made, counts = scene(12, 7), np.random.default_rng(1).integers(0, 3, (4, 12))
    values = task.metrics(columns(made), counts.astype(float), NAMES)
    for row, repeats in enumerate(counts):
        check(values, row, coco([made[i] for i in np.repeat(np.arange(12), repeats)]))


def test_without_objects_there_is_no_precision():
    made = [(np.zeros((0, 5)), *one[1:]) for one in scene(3)]
    assert np.isnan(task.metrics(columns(made), np.ones((2, 3)), NAMES)[task.PRIMARY]).all()
    nothing = [(real, kinds[:0], boxes[:0], score[:0]) for real, kinds, boxes, score in scene(3)]
    assert (task.metrics(columns(nothing), np.ones((2, 3)), NAMES)[task.PRIMARY] == 0).all()
