"""Labels are labels: which values are classes, numbers of masks, boxes; each with the right value."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from components.lib.core.errors import DataError
from components.lib.data import classes, exif, images, masks, objects
from components.lib.data.classes import Unlabelled
from components.lib.data.masks import IGNORED
from components.lib.tasks import MISSING

INDICES = np.arange(48, dtype=np.uint8).reshape(6, 8) % 4
PICTURE = images.png(np.zeros((6, 8, 3), np.uint8))


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def palette(**options: object) -> bytes:
    image = Image.fromarray(INDICES, "L").convert("L")
    image = Image.frombytes("P", (8, 6), INDICES.tobytes())
    image.putpalette([v for i in range(256) for v in (i * 37 % 256, i * 91 % 256, 255 - i)])
    return saved(image, **options)


def turned_photograph(orientation: int = 6, size: tuple[int, int] = (8, 6)) -> bytes:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return saved(Image.new("L", size), "JPEG", exif=tags)


VALUES = {"a": "a", " a\t": "a", "1.0": "1", "-3.00": "-3", "1.10": "1.10", "v1.0": "v1.0", "01.0": "01.0"}
VALUES |= {1: "1", -2.0: "-2", "NA": "NA", "none": "none", "ca f\u00e9": "ca f\u00e9"}


@pytest.mark.parametrize(
    ("value", "name"), [*VALUES.items(), (1.0, "1"), (True, "True"), (np.float64(2), "2")]
)
def test_a_word_a_whole_number_or_a_bool_is_a_class(value, name):
    assert classes.named(value) == name


@pytest.mark.parametrize(
    "value", [0.5, float("inf"), b"a", [], ["a"], [1], {}, {"a": 1}, (), "\ud83d", np.zeros(2)]
)
def test_nothing_else_is_a_class(value):
    with pytest.raises(DataError) as caught:
        classes.named(value)
    assert not isinstance(caught.value, Unlabelled)
    assert caught.value.found and caught.value.expected


@pytest.mark.parametrize("value", [None, float("nan"), np.float32("nan"), "", " \u00a0", *MISSING])
def test_what_says_that_there_is_no_label_is_none(value):
    with pytest.raises(Unlabelled):
        classes.named(value, MISSING)
    if value in MISSING:
        assert classes.named(value) == value


def test_classes_that_look_alike_or_like_none_are_told():
    names = [
        "caf\u00e9",
        "cafe\u0301",
        "a b",
        "a\u00a0b",
        "a  b",
        "x\u200b",
        "X",
        "x",
        "\uff58",
        "y",
        "none",
        "?",
    ]
    alike, doubtful = classes.notices(names)
    groups = alike.partition(": ")[2].split("; ")
    assert sorted(group.count(" and ") + 1 for group in groups) == [2, 3, 4] and "'x\\u200b'" in alike
    assert doubtful.endswith("'?'; 'none'")
    assert classes.notices(f"{case}{i}" for i in range(9) for case in "aA")[0].endswith("and 4 more")
    assert not classes.notices(["a", "b", "1", "2"])


MASKS = {
    "a palette image": palette(),
    "a palette with transparency": palette(transparency=bytes([0, 255, 128, 0])),
    "a grey image": saved(Image.fromarray(INDICES)),
    "a grey image whose black is clear": saved(Image.fromarray(INDICES), transparency=0),
    "grey in colours": saved(Image.fromarray(INDICES.repeat(3).reshape(6, 8, 3))),
    "grey and alpha": saved(Image.fromarray(np.stack([INDICES, INDICES * 60], 2), "LA")),
    "colours and alpha": saved(
        Image.fromarray(np.concatenate([INDICES[:, :, None].repeat(3, 2), INDICES[:, :, None]], 2))
    ),
    "sixteen bits": saved(Image.fromarray(INDICES.astype(np.uint16))),
    "thirty-two bits": saved(Image.fromarray(INDICES.astype(np.int32)), "TIFF"),
    "a GIF": saved(Image.frombytes("P", (8, 6), INDICES.tobytes()), "GIF", optimize=False),
    "a BMP": saved(Image.fromarray(INDICES), "BMP"),
    "fractions that are whole": saved(Image.fromarray(INDICES.astype(np.float32)), "TIFF"),
    "of datasets": {"bytes": palette(), "path": "a.png"},
    "an array": INDICES,
    "with an axis of one": INDICES[:, :, None].astype(np.int64),
    "lists": INDICES.tolist(),
}


@pytest.mark.parametrize("name", MASKS)
def test_the_numbers_of_a_mask_are_its_indices(name):
    mask, note = masks.read(MASKS[name], PICTURE)
    assert mask.tolist() == INDICES.tolist() and not note
    void, _ = masks.read(MASKS[name], PICTURE, (3, -1))
    assert void.tolist() == np.where(INDICES == 3, IGNORED, INDICES.astype(int)).tolist()
    assert masks.load(masks.png(mask)).tolist() == mask.tolist()


def test_two_levels_and_deep_numbers_are_kept():
    two = saved(Image.fromarray(INDICES > 1))
    assert masks.read(two, PICTURE)[0].tolist() == (INDICES > 1).astype(int).tolist()
    deep = INDICES.astype(np.uint16) * 4000 + 255
    for value in (saved(Image.fromarray(deep)), deep.tolist()):
        mask, _ = masks.read(value, PICTURE, (255,))
        assert (mask == np.where(deep == 255, IGNORED, deep)).all()
        assert (masks.load(masks.png(mask)) == mask).all()


NO_MASK = {
    "a photograph": (saved(Image.fromarray(np.stack([INDICES, INDICES, INDICES + 1], 2))), "colours"),
    "lossy": (saved(Image.fromarray(INDICES), "JPEG"), "decoded"),
    "another size": (INDICES[:3], "fit"),
    "fractions": (INDICES + 0.5, "not a mask"),
    "not a number": (np.full((6, 8), np.nan), "not a mask"),
    "beyond 64 bits": (np.full((6, 8), 2.0**63), "not a mask"),
    "below zero": (INDICES.astype(int) - 2, "of no class"),
    "too deep": (INDICES.astype(int) + 65_535, "of no class"),
    "ragged": ([[1], [1, 2]], "not a mask"),
    "words": ("a.png", "not a mask"),
    "one an image": (3, "not a mask"),
    "a mask a class": (np.zeros((6, 8, 4), int), "not a mask"),
}


@pytest.mark.parametrize("name", NO_MASK)
def test_what_is_no_mask_is_refused(name):
    value, what = NO_MASK[name]
    with pytest.raises(DataError, match=what):
        masks.read(value, PICTURE, (-1,))


@pytest.mark.parametrize("value", [None, {"bytes": None}, np.full((6, 8), 255)])
def test_a_mask_without_a_class_is_no_label(value):
    with pytest.raises(Unlabelled):
        masks.read(value, PICTURE, (255,))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_image_mask_and_boxes_together(orientation):
    photograph = turned_photograph(orientation)
    mark = np.zeros((6, 8), np.uint8)
    mark[1:3, 4:7] = 1
    mask, note = masks.read(mark, photograph)
    assert mask.shape == images.decode(photograph).shape[:2] and bool(note) == (orientation != 1)
    down, across = np.nonzero(mask)
    item = {"box": [4.0, 1.0, 7.0, 3.0], "label": "a"}
    (found,), _ = objects.within([item], *mask.shape, orientation)
    assert found["box"] == [across.min(), down.min(), across.max() + 1, down.max() + 1]
    upright, _ = masks.read(exif.upright(mark, orientation), photograph, frame="upright")
    assert (upright == mask).all()
    tags = Image.Exif()
    tags[0x0112] = orientation
    own, _ = masks.read(saved(Image.fromarray(mark), exif=tags), photograph)
    assert (own == mask).all()


BOX = {"box": [1.0, 2.0, 4.0, 5.0], "label": "a"}
OBJECTS = {
    "corners": [BOX],
    "sizes": [{"bbox": [1, 2, 3, 3], "category": "a", "id": 7, "area": 9}],
    "lists": {"bbox": [[1, 2, 3, 3]], "category": ["a"]},
    "lists with more": {"bbox": [[1, 2, 3, 3]], "categories": ["a"], "area": [9], "iscrowd": [0]},
    "boxes and labels": {"boxes": [[1, 2, 4, 5]], "labels": ["a"]},
    "arrays": [{"box": np.array([1, 2, 4, 5]), "label": "a"}],
    "an empty box beside": [BOX, {"box": [3, 3, 3, 3], "label": "b"}],
    "an empty size beside": {"bbox": [[1, 2, 3, 3], [0, 0, 0, 4]], "category": ["a", "a"]},
}


@pytest.mark.parametrize("name", OBJECTS)
def test_ways_to_write_objects_are_one(name):
    found, notes = objects.within(objects.listed(OBJECTS[name]), 6, 8)
    assert found == [BOX] and bool(notes) == ("empty" in name)


def test_boxes_are_cut_to_the_picture_and_crowds_are_known():
    given = {
        "bbox": [[4, 2, 4.001, 3], [-1, 0, 5, 6], [0, 0, 8, 6]],
        "category": [1, 2.0, "3"],
        "iscrowd": [0, 0, 1],
    }
    found, notes = objects.within(objects.listed(given), 6, 8)
    assert [item["box"] for item in found] == [[4, 2, 8, 5], [0, 0, 4, 6], [0, 0, 8, 6]]
    assert [item["label"] for item in found] == ["1", "2", "3"]
    assert [item.get("crowd", False) for item in found] == [False, False, True] and len(notes) == 2
    assert json.loads(json.dumps(found)) == found


def test_an_image_may_hold_nothing_and_no_list_is_no_label():
    assert objects.within(objects.listed([]), 6, 8)[0] == []
    assert objects.listed({"bbox": [], "category": []}) == []
    with pytest.raises(Unlabelled):
        objects.listed(None)
