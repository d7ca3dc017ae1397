"""Images: decoded within limits, compared by their pixels and as small grey pictures, kept as they came."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.ingestion import config as common
from components.ingestion.modalities import Cleaned, Columns, Indexer, Payload, Words
from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.formats import Record, Rejected, field, rejected

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from components.lib.pages.markup import Html

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


@dataclass(frozen=True)
class Evaluation(common.Evaluation):
    """Labelled images that must not stand in the corpus."""

    image: str = setting("image", "its field of the image")


@dataclass(frozen=True)
class Config(common.Config):
    """Raw images in, a clean corpus out."""

    image: str = setting("image", "field that holds the image: bytes of a file, or an array")
    label: str = setting("label", "field that names the class, if there is one: counted, never trained on")
    smallest: int = setting(8, "pixels that the shorter side has at least", minimum=1, maximum=10_000)
    longest: float = setting(8.0, "longer side in shorter sides, at most", minimum=1.0, maximum=1000.0)
    flat: int = setting(4, "range of grey values up to which an image shows nothing", minimum=0, maximum=255)
    near_duplicates: float = setting(
        0.995, "correlation, as grey pictures of 16 x 16, above which one image is dropped; 0: off",
        minimum=0, maximum=1,
    )  # fmt: skip
    decontaminate: tuple[Evaluation, ...] = setting(
        (), "evaluation sets whose images are kept out of the corpus"
    )


def identity(config: Config) -> dict[str, Any]:
    """The fields and the rules."""
    return {
        "fields": [config.image, config.label],
        "rules": [config.smallest, config.longest, config.flat],
        "alike": config.near_duplicates if config.decontaminate else 0,
    }


def indexed(config: Config) -> dict[str, Any]:
    """Nothing more."""
    return {}


def shown(config: Config) -> dict[str, Any]:
    """The rules."""
    return {"smallest": config.smallest, "longest": config.longest, "flat": config.flat}


def payload(record: Record, fields: Config | Evaluation) -> Payload | Rejected:
    """The bytes of the image's file, and its class or ''."""
    from components.lib.data.images import content

    value = field(record, fields.image, ("image", "label"))
    if isinstance(value, Rejected):
        return value
    try:
        data = content(value)
    except DataError as error:
        return rejected(record.where, f"{error.what}: {error.found}", "")
    label = record.fields.get(getattr(fields, "label", ""), "")
    return data, str(label) if isinstance(label, str | int) else ""


def cleaner(config: Config, folders: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
    """Decodes every image."""
    from components.ingestion.pictures import Cleaner

    return Cleaner(config, folders)


def indexer(config: Config) -> Indexer:
    """Identities and signatures of an evaluation set."""
    from components.ingestion.pictures import Collector

    return Collector()


def near_copies(
    ids: npt.NDArray[np.uint64], signatures: npt.NDArray[np.uint16], threshold: float
) -> npt.NDArray[np.bool_]:
    """By correlation."""
    from components.ingestion.pictures import near_copies

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


def samples(samples: Sequence[Mapping[str, str]]) -> Html:
    """A grid of images."""
    from components.lib.pages import page, pictures

    pairs = [sample["image"].rpartition("\n") for sample in samples]
    drawn = pictures.grid([(base64.b64decode(data), label) for label, _, data in pairs])
    return page.section("Some images", drawn, note="Chosen by hash.")
