"""Ingestion of images: decoding within limits, quality rules, identity of pixels, near duplicates."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.lib.core.errors import DataError
from components.lib.data import images
from components.lib.data.formats import Record, Rejected, column, rejected
from components.lib.data.images import Pixels
from components.lib.modalities import Cleaned, Columns, Indexer, Payload, Words
from components.lib.modalities.image import correlation
from components.lib.modalities.image.settings import Ingestion

COLUMNS = Columns(
    payload={"image": "binary", "label": "string"},
    measures=("width", "height", "channels"),
    lengths=("width", "height"),
    kinds=("channels", "label"),
    signature=correlation.SIZE,
    samples=40,
)
NATIVE = True  # Pillow's decoders
WORDS = Words(
    unit="image",
    identity="its pixels",
    found="stand in the sources, pixel for pixel",
    altered="Turned upright were",
    spread="Sizes of the images",
    lengths={name: (f"{name.capitalize()} in pixels", f"{name} of an image") for name in COLUMNS.lengths},
)
THUMBNAIL = 64  # pixels of the longer side


def identity(options: Ingestion, evaluations: bool) -> dict[str, Any]:
    """The rules."""
    return {
        "rules": [options.smallest, options.longest, options.flat],
        "alike": options.near_duplicates if evaluations else 0,
    }


def indexed(options: Ingestion, fields: Mapping[str, str]) -> dict[str, Any]:
    """The image alone: its class decides nothing."""
    return {"image": fields["image"]}


def shown(options: Ingestion) -> dict[str, Any]:
    """The rules."""
    return {"smallest": options.smallest, "longest": options.longest, "flat": options.flat}


def setting_of(rule: str) -> str:
    """The setting of a quality rule."""
    return {"size": "ingestion.smallest", "shape": "ingestion.longest"}.get(rule, "ingestion.flat")


def payload(record: Record, fields: Mapping[str, str]) -> Payload | Rejected:
    """The bytes of the image's file, and its class or ''."""
    value = column(record, fields["image"], ("image", "label"))
    if isinstance(value, Rejected):
        return value
    try:
        data = images.content(value)
    except DataError as error:
        return rejected(record.where, f"{error.what}: {error.found}", "")
    label = record.fields.get(fields["label"], "")
    return data, str(label) if isinstance(label, str | int) else ""


def cleaner(options: Ingestion, folders: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
    """Decodes every image."""
    return Cleaner(options, folders)


def indexer(options: Ingestion) -> Indexer:
    """Identities and signatures of an evaluation set."""
    return Collector()


def near_copies(
    ids: npt.NDArray[np.uint64], signatures: npt.NDArray[np.uint16], threshold: float
) -> npt.NDArray[np.bool_]:
    """By correlation of small pictures."""
    return correlation.near_copies(ids, signatures, threshold)


def excerpt(payload: Payload) -> Payload:
    """Its class."""
    return b"", payload[1]


def excerpts(table: pa.Table) -> pa.Array:
    """Their classes."""
    return table["label"]


def sample(row: Mapping[str, Any]) -> str:
    """A small PNG, in base64, after its class."""
    small = images.thumbnail(images.decode(row["image"]), THUMBNAIL)
    return f"{row['label']}\n{base64.b64encode(small).decode()}"


def contaminated(settings: Mapping[str, Any]) -> str:
    """When two images count as the same."""
    alike = settings["near_duplicates"]
    near = f", or if the two correlate by {alike:g} as small pictures" if alike else ""
    return f"An image is left out if its pixels are those of an evaluation image{near}."


def samples(samples: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A grid of images."""
    pairs = [sample["image"].rpartition("\n") for sample in samples]
    return {"note": "Chosen by hash.", "pictures": [(data, label) for label, _, data in pairs]}


class Cleaner:
    """Decodes batches of images and compares them with evaluation sets."""

    def __init__(self, options: Ingestion, evaluations: Sequence[Path]) -> None:
        self._options = options
        self._ids = {row.tobytes() for folder in evaluations for row in np.load(folder / "ids.npy")}
        tested = [np.load(folder / "signatures.npy") for folder in evaluations]
        self._tested = np.concatenate([np.empty((0, correlation.SIZE), np.uint16), *tested])

    def __call__(self, payloads: Sequence[Payload]) -> Cleaned:
        clean = Cleaned()
        sizes, small = [np.empty((0, 3), np.int32)], []
        for place, (data, label) in enumerate(payloads):
            try:
                pixels = images.decode(data)
            except DataError as error:
                if isinstance(error.__cause__, MemoryError):  # no property of the image
                    raise error.__cause__ from error
                clean.broken[place] = f"{error.what}: {error.found}"
                continue
            clean.payloads.append((data, label))
            clean.ids.append(images.identity(pixels))
            clean.reasons.append(self._reason(pixels))
            height, width, channels = pixels.shape
            sizes.append(np.array([[width, height, channels]], np.int32))
            small.append(correlation.shrunk(pixels))
        columns = np.concatenate(sizes).T
        clean.measures = dict(zip(("width", "height", "channels"), columns, strict=True))
        clean.signatures = correlation.signatures(small)
        clean.shared = self._shared(clean.ids, clean.signatures)
        return clean

    def _reason(self, pixels: Pixels) -> str:
        """Why an image is dropped, or ''."""
        short, long = sorted(pixels.shape[:2])
        if short < self._options.smallest:
            return f"size: {short} pixels, fewer than {self._options.smallest}"
        if long > self._options.longest * short:
            return f"shape: {long / short:.1f} times as long as wide, more than {self._options.longest:g}"
        spread = int(pixels.max()) - int(pixels.min())
        if spread <= self._options.flat:
            return f"flat: its values differ by {spread}, at most {self._options.flat}"
        return ""

    def _shared(self, ids: list[bytes], found: correlation.Signatures) -> npt.NDArray[np.int8]:
        shared = np.zeros(len(ids), np.int8)
        least = self._options.near_duplicates
        if least and len(self._tested):
            shared[correlation.alike(found, self._tested, least)] = 1
        shared[[name in self._ids for name in ids]] = 2
        return shared


class Collector:
    """Makes the index of an evaluation set."""

    def __init__(self) -> None:
        self._ids: list[bytes] = []
        self._small: list[Pixels] = []

    def add(self, payload: Payload) -> None:
        """Takes one image."""
        pixels = images.decode(payload[0])
        self._ids.append(images.identity(pixels))
        self._small.append(correlation.shrunk(pixels))

    def save(self, folder: Path) -> int:
        """Writes the index; returns how many images it has."""
        np.save(folder / "ids.npy", np.frombuffer(b"".join(self._ids), np.uint8).reshape(-1, 16))
        np.save(folder / "signatures.npy", correlation.signatures(self._small))
        return len(self._ids)
