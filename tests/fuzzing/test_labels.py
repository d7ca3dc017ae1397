"""Any value as a label: a class, a mask or boxes as they are meant, or a told reason; the same twice."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from components.lib import tasks
from components.lib.core.errors import DataError
from components.lib.data.classes import named
from components.lib.data.images import png
from tests.fuzzing.mutation import NUMBERS, WORDS, mutated, pixels
from tests.fuzzing.test_records import fuzzed

SIDE = 8
IMAGE = png(pixels(0, 1, 3)[0])
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), WORDS, st.binary(max_size=8)
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner)
)
CORNERS = st.floats(-4, SIDE + 4) | st.integers(-1, SIDE + 1) | PLAIN
BOXES = st.lists(st.lists(CORNERS, min_size=3, max_size=5), max_size=3)
KINDS = st.lists(PLAIN, max_size=3)
OBJECTS = (
    VALUES
    | st.fixed_dictionaries({"bbox": BOXES, "category": KINDS})
    | st.lists(st.fixed_dictionaries({"box": st.lists(CORNERS, max_size=5), "label": PLAIN}), max_size=3)
    | st.lists(st.fixed_dictionaries({"bbox": st.lists(CORNERS, max_size=5), "category": PLAIN}), max_size=3)
)


def masked(seed: int, mode: str, side: int = SIDE) -> bytes:
    """A mask of a few classes, as a PNG of a mode."""
    numbers = np.random.default_rng(seed).choice([0, 1, 7, 255], (side, side)).astype(np.uint8)
    image = Image.fromarray(numbers)
    if mode == "P":
        image = Image.fromarray(numbers, "P")
        image.putpalette([value for one in range(256) for value in (one, 255 - one, 90)])
    elif mode == "I;16":
        image = Image.fromarray(numbers.astype(np.uint16))
    file = io.BytesIO()
    image.save(file, "PNG", **({"transparency": 1} if mode == "P" and seed % 2 else {}))
    return file.getvalue()


MASKS = st.builds(masked, NUMBERS, st.sampled_from(("L", "P", "I;16")), st.sampled_from((SIDE, SIDE, 7)))
# task -> the inputs of a record, values of its label
LABELS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "sequence_classification": ("a text", VALUES),
    "image_classification": (IMAGE, VALUES),
    "token_classification": (
        ["a", "b"],
        VALUES | st.lists(st.sampled_from(("O", "B-x", "I-x", "I-", "B", 0, None, "I-\ud83d")), max_size=3),
    ),
    "detection": (IMAGE, OBJECTS),
    "segmentation": (IMAGE, mutated(MASKS) | VALUES | NUMBERS.map(lambda seed: pixels(seed, 1)[0])),
}


@pytest.mark.parametrize("name", LABELS)
@fuzzed
@given(drawn=st.data())
def test_a_label_is_read_or_told(name: str, drawn: st.DataObject) -> None:
    task, (given, strategy) = tasks.load(name), LABELS[name]
    first, target = tasks.inputs_of(task.ROLES)[0], tasks.target_of(task.ROLES)
    values = {first: given, target: drawn.draw(strategy)}
    found = []
    for _ in range(2):
        try:
            found.append(task.parse(values, tasks.Reading()))
        except DataError as error:
            found.append(f"{error.what}: {error.found}")
    assert found[0] == found[1]
    if not isinstance(found[0], str):
        names = task.classes([found[0][1]])
        assert all(isinstance(one, str) and one.strip() == one != "" for one in names)


@fuzzed
@given(value=VALUES)
def test_a_class_is_a_word_a_whole_number_or_a_bool(value: Any) -> None:
    try:
        name = named(value)
    except DataError:
        return
    assert isinstance(value, str | int | float)
    if isinstance(value, float):
        assert math.isfinite(value) and name == named(int(value))
    if isinstance(value, str):
        assert name == value.strip() or float(name) == float(value)


@fuzzed
@given(seed=NUMBERS, mode=st.sampled_from(("L", "P", "I;16")))
def test_masks_are_indices(seed: int, mode: str) -> None:
    task = tasks.load("segmentation")
    _, label = task.parse({"image": IMAGE, "label": masked(seed, mode)}, tasks.Reading())
    numbers = np.random.default_rng(seed).choice([0, 1, 7, 255], (SIDE, SIDE))
    assert task.classes([label]) == [str(one) for one in np.unique(numbers) if one != 255]
