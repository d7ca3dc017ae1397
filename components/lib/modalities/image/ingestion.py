"""Ingestion of images: decoding within limits, quality rules, identity of pixels, near duplicates."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.lib.core.errors import DataError
from components.lib.data import correlation, images, pixel_range
from components.lib.data.evaluation_index import Collector, Tested
from components.lib.data.formats import Record, Rejected, column, rejected
from components.lib.data.images import Pixels
from components.lib.data.near_duplicates import Likeness
from components.lib.modalities import Cleaned, Columns, Indexer, Payload, Settled, Words
from components.lib.modalities.image.settings import Ingestion

COLUMNS = Columns(
    payload={"image": "binary", "label": "string"},
    measures=("width", "height", "channels", "bits", "low", "high", "flags"),
    lengths=("width", "height"),
    kinds=("channels", "bits", "label"),
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
VALUES = 2  # version of what is measured of pixels
COLOUR = 48  # bits of a pixel in colours of 16 bits
TURNED, DAMAGED, HOLES = 1, 2, 4  # turned upright by EXIF; EXIF is broken; some pixels are not numbers


def identity(options: Ingestion, evaluations: bool) -> dict[str, Any]:
    """The rules."""
    return {
        "rules": [options.smallest, options.longest, options.flat],
        "values": VALUES,
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
        return rejected(record.where, error.reason, "")
    label = record.fields.get(fields["label"], "")
    return data, str(label) if isinstance(label, str | int) else ""


def cleaner(options: Ingestion, folders: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
    """Decodes every image."""
    return Cleaner(options, folders)


def indexer(options: Ingestion) -> Indexer:
    """Identities and signatures of an evaluation set."""
    return Collector(_known)


def likeness(threshold: float) -> Likeness:
    """By correlation of small pictures."""
    return correlation.likeness(threshold)


def settling(options: Ingestion) -> dict[str, Any]:
    """The range that is given."""
    return {"range": list(options.range)} if options.range else {}


def settle(documents: Any, options: Ingestion, held: Mapping[str, Any]) -> Settled:
    """The range of values of the whole corpus, and what is told of pixels and EXIF; drops what is flat in it.

    Args:
        held: facts of the corpus that this one continues.
    """
    source = "set" if options.range else "of the earlier corpus" if held.get("range") else "of all images"
    found = [_extremes(block.measures) for block in documents.blocks()]
    span: Any = options.range or held.get("range") or ()
    if not span and (deep := [one for one in found if one is not None]):
        span = pixel_range.of(*(np.concatenate(column) for column in zip(*deep, strict=True)))
    told = {
        f"more than 8 bits: values from {{:g}} to {{:g}}, {source}, become 0 to 255 (range)": "deep",
        "values beyond the range: they are cut off": "beyond",
        "8 bits and are as they are, among deeper ones": "bytes",
        "16 bits a colour and transparency: the upper eight bits are read": "colour",
        "pixels that are not numbers: they are read as the lowest value": "holes",
        "broken EXIF: they are kept": "damaged",
        "an EXIF note by which they are turned upright": "turned",
    }
    counts = Counter[str]()
    for block in documents.blocks():
        counts.update(_counted(block.measures, span))
    counts["bytes"] *= counts["deep"] > 0
    notices = [
        f"{counts[name]:,} images have {what.format(*span)}" for what, name in told.items() if counts[name]
    ]

    def late(block: Any) -> None:
        deep, low, high = _deep(block.measures)
        if len(deep):
            shown = (high.clip(*span) - low.clip(*span)) * 255 / (span[1] - span[0])
            flat = (block.reasons[deep] == "") & (np.rint(shown) <= options.flat)
            block.reasons[deep[flat]] = [
                f"flat: its values differ by {n:.2f} of 255 in the range" for n in shown[flat]
            ]

    return ({"range": [float(end) for end in span]} if span else {}), notices, late


def _deep(measures: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Which images have more than 8 bits, and their lowest and highest values."""
    deep = np.flatnonzero((measures["bits"] > 8) & (measures["bits"] < COLOUR))
    low, high = (measures[name].view(np.float32)[deep].astype(np.float64) for name in ("low", "high"))
    return deep, low, high


def _extremes(measures: Mapping[str, Any]) -> tuple[Any, Any, Any] | None:
    """Depths, the lowest and the highest value of the deep images of a block; None if there are none."""
    deep, low, high = _deep(measures)
    return (
        (np.unique(measures["bits"][deep]), low.min(keepdims=True), high.max(keepdims=True))
        if len(deep)
        else None
    )


def _counted(measures: Mapping[str, Any], span: Any) -> dict[str, int]:
    """What notices tell of the images of a block."""
    deep, low, high = _deep(measures)
    beyond = ((low < span[0]) | (high > span[1])) if span else np.empty(0, bool)
    flags = {"holes": HOLES, "damaged": DAMAGED, "turned": TURNED}
    return {
        "deep": len(deep),
        "beyond": int(beyond.sum()),
        "bytes": int((measures["bits"] == 8).sum()),
        "colour": int((measures["bits"] == COLOUR).sum()),
        **{name: int((measures["flags"] & flag > 0).sum()) for name, flag in flags.items()},
    }


def excerpt(payload: Payload) -> Payload:
    """Its class."""
    return b"", payload[1]


def excerpts(table: pa.Table) -> pa.Array:
    """Their classes."""
    return table["label"]


def sample(row: Mapping[str, Any], settled: Mapping[str, Any]) -> str:
    """A small PNG, in base64, after its class."""
    small = images.thumbnail(images.decode(row["image"], settled.get("range", ())), THUMBNAIL)
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
        self._tested = Tested(evaluations)

    def __call__(self, payloads: Sequence[Payload]) -> Cleaned:
        clean = Cleaned()
        rows, small = [], []
        for place, (data, label) in enumerate(payloads):
            try:
                found = images.values(data)
            except DataError as error:
                if isinstance(error.__cause__, MemoryError):  # no property of the image
                    raise error.__cause__ from error
                clean.broken[place] = error.reason
                continue
            clean.payloads.append((data, label))
            clean.ids.append(images.identity(found.array))
            clean.reasons.append(self._reason(found.array))
            rows.append(_measured(found))
            small.append(correlation.shrunk(found.array))
        columns = np.ascontiguousarray(np.array(rows, np.int32).reshape(-1, len(COLUMNS.measures)).T)
        clean.measures = dict(zip(COLUMNS.measures, columns, strict=True))
        clean.signatures = correlation.signatures(small)
        clean.shared = self._tested.shared(clean.ids, clean.signatures, self._options.near_duplicates)
        return clean

    def _reason(self, pixels: npt.NDArray[Any]) -> str:
        """Why an image is dropped, or ''."""
        short, long = sorted(pixels.shape[:2])
        if short < self._options.smallest:
            return f"size: {short} pixels, fewer than {self._options.smallest}"
        if long > self._options.longest * short:
            return f"shape: {long / short:.1f} times as long as wide, more than {self._options.longest:g}"
        low, high = pixel_range.extremes(pixels)
        spread = high - low
        most = self._options.flat if pixels.dtype == np.uint8 else 0  # of deeper ones the range decides
        return f"flat: its values differ by {spread:g}, at most {most}" if spread <= most else ""


def _measured(found: images.Decoded) -> list[int]:
    """The measures of an image; its lowest and highest value as the bits of 32-bit floats."""
    height, width, channels = found.array.shape
    bits, ends = COLOUR if found.deeper else pixel_range.bits(found.array), (0, 0)
    if bits in (16, 32):
        extremes = np.array(pixel_range.extremes(found.array), np.float32)
        ends = tuple(extremes.view(np.int32).tolist())
    flags = TURNED * (found.orientation != 1) | DAMAGED * found.damaged
    flags |= HOLES * (bits == 32 and not np.isfinite(found.array).all())
    return [width, height, channels, bits, *ends, flags]


def _known(payload: Payload) -> tuple[bytes, Pixels]:
    """Identity and small picture of an image of an evaluation set."""
    pixels = images.values(payload[0]).array
    return images.identity(pixels), correlation.shrunk(pixels)
