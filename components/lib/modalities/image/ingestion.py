"""Images: decoded within limits, compared by their pixels and as small grey pictures, kept as they came."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.lib.core.errors import DataError
from components.lib.data.formats import Record, Rejected, column, rejected
from components.lib.modalities import Cleaned, Columns, Indexer, Payload, Words
from components.lib.modalities.image.settings import Ingestion

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


COLUMNS = Columns(
    payload={"image": "binary", "label": "string"},
    measures=("width", "height", "channels"),
    lengths=("width", "height"),
    kinds=("channels", "label"),
    signature=256,
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


def payload(record: Record, fields: Mapping[str, str]) -> Payload | Rejected:
    """The bytes of the image's file, and its class or ''."""
    from components.lib.data.images import content

    value = column(record, fields["image"], ("image", "label"))
    if isinstance(value, Rejected):
        return value
    try:
        data = content(value)
    except DataError as error:
        return rejected(record.where, f"{error.what}: {error.found}", "")
    label = record.fields.get(fields["label"], "")
    return data, str(label) if isinstance(label, str | int) else ""


def cleaner(options: Ingestion, folders: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
    """Decodes every image."""
    from components.lib.modalities.image.cleaning import Cleaner

    return Cleaner(options, folders)


def indexer(options: Ingestion) -> Indexer:
    """Identities and signatures of an evaluation set."""
    from components.lib.modalities.image.cleaning import Collector

    return Collector()


def near_copies(
    ids: npt.NDArray[np.uint64], signatures: npt.NDArray[np.uint16], threshold: float
) -> npt.NDArray[np.bool_]:
    """By correlation."""
    from components.lib.modalities.image.cleaning import near_copies

    return near_copies(ids, signatures, threshold)


def excerpt(payload: Payload) -> Payload:
    """Its class."""
    return b"", payload[1]


def excerpts(table: pa.Table) -> pa.Array:
    """Their classes."""
    return table["label"]


def sample(row: Mapping[str, Any]) -> str:
    """A small PNG, in base64, after its class."""
    from components.lib.data import images

    small = images.thumbnail(images.decode(row["image"]), THUMBNAIL)
    return f"{row['label']}\n{base64.b64encode(small).decode()}"


def contaminated(settings: Mapping[str, Any]) -> str:
    """When two images count as the same."""
    alike = settings["near_duplicates"]
    near = f", or if the two correlate by {alike:g} as small grey pictures" if alike else ""
    return f"An image is left out if its pixels are those of an evaluation image{near}."


def samples(samples: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """A grid of images."""
    pairs = [sample["image"].rpartition("\n") for sample in samples]
    return {"note": "Chosen by hash.", "pictures": [(data, label) for label, _, data in pairs]}
