"""How labelled records become what a branch reads, in a way of its own for each kind of data.

A modality declares

    Labelled, Config                    those of `components.finetuning.config` and its own
    Inputs(config, store, trunk)        with the methods of the protocol below

`Config` is read where nothing but the standard library is installed, so that everything else is imported
by the functions that need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from components.lib.core import plugins
from components.lib.core.settings import from_dict
from components.lib.data.formats import Record


class Inputs(Protocol):
    """What belongs to a trunk: its tokenizer, or the size of its images."""

    def value(self, record: Record, fields: Any) -> Any:
        """The data of a record; `fields` is a Labelled. Raises MissingError or DataError."""
        ...

    def identity(self, value: Any) -> str:
        """32 hex digits: equal for equal data."""
        ...

    def encode(self, task: Any, values: list[Any], labels: list[Any], classes: list[str]) -> Any:
        """Examples, as the task trains on them."""
        ...

    def column(self, values: list[Any]) -> str:
        """What the data are called in the table of examples."""
        ...

    def save(self, folder: Path) -> None:
        """Adds to the branch what its input needs."""
        ...


def load(name: str) -> Any:
    """The file of a modality; raises ConfigError that lists those that exist."""
    return plugins.load(__name__, name)


def configured(values: Mapping[str, Any], where: str) -> Any:
    """The checked settings of finetuning for the modality that they name."""
    return from_dict(load(str(values.get("modality", "text"))).Config, values, where)
