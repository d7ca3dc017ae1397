"""Text: the trunk's tokenizer, checked by its probes."""

from __future__ import annotations

import hashlib
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
    """Where labelled texts come from."""

    text: str = setting("text", "field of the input")


@dataclass(frozen=True, kw_only=True)
class Config(common.Config):
    """A study on texts."""

    train: Labelled = setting(help="labelled records to learn from")
    test: Labelled = setting(help="labelled records that are frozen and scored, never trained on")
    max_length: int = setting(128, "tokens to which inputs are cut", minimum=4)


class Inputs:
    """Texts, or lists of tokens."""

    def __init__(self, config: Config, store: Store, trunk: Manifest) -> None:
        from components.lib.modalities.text.tokens import check_probes
        from components.lib.models import loading

        folder = store.open_folder(trunk, "model/")
        self.length = config.max_length
        self.tokenizer = loading.tokenizer(folder, model_max_length=self.length)
        check_probes(self.tokenizer, store.resolve(trunk.key.inputs["tokens"]).facts)

    def value(self, record: Record, fields: Any) -> Any:
        """As it stands in the record; the task says whether it can use it."""
        return required(record, fields.text)

    def identity(self, value: Any) -> str:
        """Of the very characters."""
        return hashlib.sha256(repr(value).encode()).hexdigest()[:32]

    def encode(self, task: Any, values: list[Any], labels: list[Any], classes: list[str]) -> Any:
        """Token ids."""
        return task.encode(self.tokenizer, values, labels, classes, self.length)

    def column(self, values: list[Any]) -> str:
        """`text` or `tokens`."""
        return "text" if isinstance(values[0], str) else "tokens"

    def save(self, folder: Path) -> None:
        """The tokenizer's files."""
        self.tokenizer.save_pretrained(folder)
