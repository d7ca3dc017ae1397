"""Objects of an image: boxes with classes and crowds, as detection data write them, checked and cut to it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from components.lib.core.errors import DataError
from components.lib.data import exif
from components.lib.data.classes import Unlabelled, named

CORNERS, SIZES = ("box", "boxes"), ("bbox",)  # left, top, right, bottom; left, top, width, height
KINDS = ("label", "labels", "category", "categories", "category_id", "class")
CROWDS = ("iscrowd", "is_crowd", "crowd")
EXPECTED = (
    "[{box: [left, top, right, bottom], label}, ...] or [{bbox: [left, top, width, height], category}, ...], "
    "in pixels, or the same as lists of equal length in one object"
)


def listed(value: Any, missing: Collection[str] = ()) -> list[dict[str, Any]]:
    """`box`, `label` and, of a crowd, `crowd` of each object.

    Raises:
        Unlabelled: if there is no list of objects.
        DataError: if they are not written as EXPECTED, or an object has no class.
    """
    if value is None:
        raise Unlabelled("there are no objects", found="None")
    try:
        rows = list(_rows(value)) if isinstance(value, Mapping) else list(value)
        return [_object(row, missing) for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise DataError("the objects cannot be read", found=repr(value)[:80], expected=EXPECTED) from error


def _rows(value: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Of lists side by side, one dict an object."""
    known = [name for name in (*CORNERS, *SIZES, *KINDS, *CROWDS) if value.get(name) is not None]
    for row in zip(*(value[name] for name in known), strict=True):
        yield dict(zip(known, row, strict=True))


def _object(row: Mapping[str, Any], missing: Collection[str]) -> dict[str, Any]:
    kind = next(row[name] for name in KINDS if name in row)
    name = next(name for name in (*CORNERS, *SIZES) if row.get(name) is not None)
    left, top, right, bottom = map(float, row[name])
    box = (left, top, left + right, top + bottom) if name in SIZES else (left, top, right, bottom)
    crowd = {"crowd": True} if any(row.get(name) for name in CROWDS) else {}
    try:
        return {"box": list(box), "label": named(kind, missing), **crowd}
    except Unlabelled as error:
        raise DataError("the class of an object is none", found=error.found, fix=error.fix) from error


def within(
    objects: Sequence[dict[str, Any]], height: int, width: int, turned: int = 1
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The objects of an upright image of this size, and what of them is told.

    Args:
        turned: the EXIF orientation of the picture that the boxes are of.

    Raises:
        DataError: if a box is turned inside out, mostly outside, or a share of the picture.
    """
    kept, notes = [], Counter[str]()
    stored = (width, height) if turned in (5, 6, 7, 8) else (height, width)
    sides = [side for item in objects for side in item["box"]]
    if sides and all(0 <= side <= 1 for side in sides) and any(side % 1 for side in sides):
        raise DataError("boxes are shares of the picture", found=objects[0]["box"], expected="pixels")
    for item in objects:
        box = exif.upright_box(item["box"], *stored, turned)
        left, top, right, bottom = box
        if not all(map(math.isfinite, box)) or right < left or bottom < top:
            expected = "left < right and top < bottom"
            raise DataError("a box has no area", found=item["box"], expected=expected)
        inside = [max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)]
        area, part = (right - left) * (bottom - top), _area(inside)
        if not area:
            notes["empty boxes are left out"] = 1
            continue
        if 2 * part < area:
            fix = "boxes of pictures that EXIF turns: see the setting `frame`" if turned != 1 else ""
            expected = f"within {stored[1]} x {stored[0]}"
            raise DataError("a box leaves the picture", found=item["box"], expected=expected, fix=fix)
        if part < area:
            notes["boxes that leave the picture are cut off at its border"] = 1
        if item.get("crowd"):
            notes["crowds are not objects: they leave loss and metric"] = 1
        kept.append({**item, "box": inside})
    return kept, notes


def _area(box: Sequence[float]) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
