"""Images: brought to the trunk's size as its corpus was, checked by probes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.finetuning import config as common
from components.lib.core.settings import setting
from components.lib.data.formats import Record, required

if TYPE_CHECKING:
    from components.lib.storage.artifacts import Manifest
    from components.lib.storage.store import Store


@dataclass(frozen=True)
class Labelled(common.Labelled):
    """Where labelled images come from."""

    image: str = setting("image", "field of the image: bytes of a file, or an array")


@dataclass(frozen=True, kw_only=True)
class Config(common.Config):
    """A study on images."""

    kind: str = setting("image_classification", "file of components/lib/tasks")
    mode: str = setting(
        "full",
        "what learns: all, the last layers, the head alone; knn: nothing, the nearest labelled images vote",
        choices=(*common.MODES, "knn"),
    )
    neighbours: int = setting(5, "how many vote when mode is knn", minimum=1)
    train: Labelled = setting(help="labelled images to learn from")
    test: Labelled = setting(help="labelled images that are frozen and scored, never trained on")


class Inputs:
    """Image files."""

    def __init__(self, config: Config, store: Store, trunk: Manifest) -> None:
        from components.lib.data.images import Canvas

        self.canvas = Canvas.open(store.open_folder(trunk, "model/"))
        facts = store.resolve(trunk.key.inputs["tokens"]).facts
        self.canvas.check(facts["probes"], trunk.uri)

    def value(self, record: Record, fields: Any) -> bytes:
        """The bytes of the file; whether they are an image is seen when it is identified."""
        from components.lib.data.images import content

        return content(required(record, fields.image))

    def identity(self, value: bytes) -> str:
        """Of the pixels; raises DataError if they cannot be decoded."""
        from components.lib.data import images

        return images.identity(images.decode(value)).hex()

    def encode(self, task: Any, values: list[bytes], labels: list[Any], classes: list[str]) -> Any:
        """Images at the trunk's size."""
        return task.encode(self.canvas, values, labels, classes)

    def column(self, values: list[bytes]) -> str:
        """`image`."""
        return "image"

    def save(self, folder: Path) -> None:
        """The file of image processors."""
        self.canvas.save(folder)
