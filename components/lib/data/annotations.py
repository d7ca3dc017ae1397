"""Annotations beside images and recordings, joined to them: tables, COCO, YOLO, Pascal VOC, captions.

metadata.csv, .jsonl   a row for each image, which `file_name` (or `image`, `path`, ...) names: its fields; of
                       several rows that differ in nothing but a caption, the list of them; rows with a
                       `start` or an `end` are each a record, that part of a recording
instances.json         COCO: `objects`, with crowds; captions: `text`, a list
x.txt of x.jpg         YOLO: `objects`, their names from data.yaml, classes.txt or obj.names; any other text
                       is the caption, as `text`
x.xml of x.jpg         Pascal VOC: `objects`; difficult ones are crowds

`objects` is a list of {box: [left, top, right, bottom] in pixels, label, crowd}. Names are looked for from
the annotation's folder on, then by their ends among all images.
"""

from __future__ import annotations

import codecs
import io
import json
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import yaml

from components.lib.core.errors import DataError
from components.lib.data.formats import Record, contents
from components.lib.data.listing import PassedOver

NAMES = "file_name filename file image image_path path image_name name audio audio_path wav".split()
PARTS = ("start", "end")  # of rows that are records of their own: parts of one recording
CLASSES = ("classes.txt", "obj.names", "labels.txt", "classes.names")
UNMATCHED = "annotations of images that are not there"
CAPTIONS = {"text", "caption", "captions", "sentence", "sentences"}  # of which an image may have several
AGAIN = "further rows of an image in a table of annotations"
UNREAD = "annotations that cannot be read"
NUMBER = r"[-+]?[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?"
YOLO = re.compile(rf"(?:[0-9]+(?:[ \t]+{NUMBER}){{4,}}[ \t]*(?:\r?\n|$))+")
LARGEST = 1 << 30  # bytes of an annotation file

Fields = dict[str, Any]


class Annotations:
    """What annotation files say of images.

    Args:
        images: names of all images.
        passed: gets what is of no image, or cannot be read.
    """

    def __init__(self, images: Sequence[str], passed: PassedOver) -> None:
        self._passed = passed
        self._images = set(images)
        self._ends: dict[str, list[str]] = defaultdict(list)
        self._stems: dict[str, list[str]] = defaultdict(list)
        for name in images:
            self._ends[posixpath.basename(name)].append(name)
            self._stems[posixpath.splitext(posixpath.basename(name))[0]].append(name)
        self._fields: dict[str, Fields] = defaultdict(dict)
        self._parts: dict[str, list[Fields]] = defaultdict(list)
        self._boxes: dict[str, list[list[float]]] = {}
        self._classes: dict[int, str] = {}

    def add(self, name: str, data: bytes, rows: Iterable[Record]) -> None:
        """Takes one annotation file.

        Args:
            rows: those of the table that it is, if it is one.
        """
        ending, base = posixpath.splitext(name)[1].lower(), posixpath.basename(name).lower()
        try:
            if base in CLASSES or ending == ".names":
                lines = data.decode("utf-8-sig").split("\n")
                self._classes |= {n: line.strip() for n, line in enumerate(lines) if line.strip()}
            elif ending in (".yaml", ".yml"):
                self._names(yaml.safe_load(data))
            elif ending == ".xml":
                self._voc(name, data)
            elif ending == ".txt":
                self._text(name, data.decode("utf-8-sig"))
            elif ending == ".json" and isinstance(found := _whole(data), dict) and "annotations" in found:
                self._coco(name, found)
            else:
                self._rows(name, rows)
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
            DataError,
            yaml.YAMLError,
            ElementTree.ParseError,
        ):
            self._passed.add(UNREAD, name)

    def join(self, name: str, record: Record) -> Iterator[Record]:
        """The record of an image or a recording with what is known of it; one for each part that is named."""
        fields = self._fields.get(name, {})
        if self._boxes:
            size = _size(record.fields["image"])
            fields = {**fields, "objects": [self._box(row, *size) for row in self._boxes.get(name, [])]}
        parts = self._parts.get(name, [])
        for number, part in enumerate(parts or [{}]):
            where = f"{record.where}#{number + 1}" if len(parts) > 1 else record.where
            yield Record({**record.fields, **fields, **part}, where, record.span)

    def _find(self, named: str, folder: str) -> str:
        """The image that a name means, or ''."""
        named = named.replace("\\", "/")
        for place in (posixpath.normpath(f"{folder}/{named}"), posixpath.normpath(named)):
            if place in self._images:
                return place
        ends = [
            one for one in self._ends[posixpath.basename(named)] if one.endswith(f"/{named.lstrip('./')}")
        ]
        near = ends or self._ends[posixpath.basename(named)]
        return near[0] if len(near) == 1 else ""

    def _beside(self, name: str) -> str:
        """The image of the same stem: the only one, or the one in the folder, or in `images` for `labels`."""
        found = self._stems[posixpath.splitext(posixpath.basename(name))[0]]
        folder = posixpath.dirname(name)
        near = [one for one in found if posixpath.dirname(one) in (folder, _images_for(folder))]
        return near[0] if len(near) == 1 else found[0] if len(found) == 1 else ""

    def _put(self, image: str, where: str, fields: Fields) -> None:
        if image:
            self._fields[image] |= fields
        else:
            self._passed.add(UNMATCHED, where)

    def _rows(self, name: str, rows: Iterable[Record]) -> None:
        folder = posixpath.dirname(name)
        for row in rows:
            column = next((one for one in NAMES if isinstance(row.fields.get(one), str)), "")
            image = self._find(row.fields[column], folder) if column else ""
            own = (column, *contents())
            fields = {key: value for key, value in row.fields.items() if key not in own}
            if image and any(fields.get(name) not in (None, "") for name in PARTS):
                self._parts[image].append(fields)
                continue
            known = self._fields[image] if image else {}
            if fields.keys() & known.keys():
                more = {key: value for key, value in fields.items() if known.get(key) != value}
                if not more or not more.keys() <= CAPTIONS & known.keys():
                    self._passed.add(AGAIN, row.where)
                    continue
                fields = {key: [*_several(known[key]), *_several(value)] for key, value in more.items()}
            self._put(image, row.where, fields)

    def _coco(self, name: str, found: Mapping[str, Any]) -> None:
        if any("caption" in entry for entry in found["annotations"]):
            self._captions(name, found)
            return
        names = {entry["id"]: entry["name"] for entry in found.get("categories", [])}
        objects: dict[Any, list[Fields]] = defaultdict(list)
        for entry in found["annotations"]:
            left, top, width, height = entry["bbox"]
            crowd = {"crowd": True} if entry.get("iscrowd") else {}
            box = {"box": [left, top, left + width, top + height]}
            label = names.get(entry["category_id"], entry["category_id"])
            objects[entry["image_id"]].append({**box, "label": label, **crowd})
        for entry in found["images"]:
            image = self._find(entry["file_name"], posixpath.dirname(name))
            self._put(image, f"{name}: {entry['file_name']}", {"objects": objects[entry["id"]]})

    def _captions(self, name: str, found: Mapping[str, Any]) -> None:
        """COCO's captions: of each image a list of them, as `text`."""
        captions: dict[Any, list[str]] = defaultdict(list)
        for entry in found["annotations"]:
            captions[entry["image_id"]].append(entry["caption"])
        for entry in found["images"]:
            image = self._find(entry["file_name"], posixpath.dirname(name))
            own = captions.pop(entry["id"], [])
            self._put(image, f"{name}: {entry['file_name']}", {"text": own} if own else {})
        for number, lost in captions.items():
            self._passed.add(UNMATCHED, *(f"{name}: image {number}" for _ in lost))

    def _voc(self, name: str, data: bytes) -> None:
        plain = data.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"<")  # not UTF-16, nor EBCDIC
        if b"<!DOCTYPE" in data or b"\0" in data or not plain:
            what, expected = "an XML file may define entities", "UTF-8 without a DOCTYPE"
            raise DataError(what, where=name, expected=expected)
        tree = ElementTree.fromstring(data)
        objects = []
        for item in tree.iter("object"):
            corners = [
                float(item.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")
            ]
            left, top, right, bottom = corners
            crowd = {"crowd": True} if item.findtext("difficult", "0").strip() == "1" else {}
            box = [max(left - 1, 0), max(top - 1, 0), right, bottom]  # pixels are counted from 1, inclusively
            objects.append({"box": box, "label": item.findtext("name", "").strip(), **crowd})
        named = self._find(tree.findtext("filename", ""), posixpath.dirname(name))
        self._put(self._beside(name) or named, name, {"objects": objects})

    def _text(self, name: str, text: str) -> None:
        image = self._beside(name)
        if YOLO.fullmatch(text.strip()) or not text.strip():
            rows = [[float(number) for number in line.split()] for line in text.split("\n") if line.strip()]
            if image:
                self._boxes[image] = rows
            else:
                self._passed.add(UNMATCHED, name)
        else:
            self._put(image, name, {"text": text.strip()})

    def _names(self, found: Any) -> None:
        names = found.get("names") if isinstance(found, dict) else None
        if isinstance(names, list):
            names = dict(enumerate(names))
        if isinstance(names, dict):
            self._classes |= {int(number): str(one) for number, one in names.items()}

    def _box(self, row: list[float], width: int, height: int) -> Fields:
        """A row of YOLO, a box or a polygon in shares of the sides, in pixels."""
        number, rest = int(row[0]), row[1:]
        if len(rest) < 6:  # perhaps with a confidence
            x, y, w, h = rest[:4]
            sides = [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
        else:
            sides = [min(rest[::2]), min(rest[1::2]), max(rest[::2]), max(rest[1::2])]
        box = [side * (height if place % 2 else width) for place, side in enumerate(sides)]
        return {"box": box, "label": self._classes.get(number, str(number))}


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _whole(data: bytes) -> Any:
    """The one JSON value of a file, or None."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _images_for(folder: str) -> str:
    """Where the images of labels/train are, by YOLO's rule: in images/train."""
    head, found, tail = f"{folder}/".rpartition("/labels/")
    return f"{head}/images/{tail}".rstrip("/") if found else ""


def _size(data: bytes) -> tuple[int, int]:
    """Width and height of an image as it is seen: upright."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            turned = image.getexif().get(274, 1) in (5, 6, 7, 8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 1, 1  # whoever decodes it says what is wrong
    return (height, width) if turned else (width, height)
