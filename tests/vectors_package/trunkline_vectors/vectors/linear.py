"""Features of rows for linear models: the scaled numbers themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.lib.models.linear import Weigh, standard
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store
from trunkline_vectors.vectors.labelled import Reader

UNITS = ("sample",)


def features(unit: str, store: Store, trunk: Manifest, folder: Path) -> dict[str, Any]:
    """One set."""
    return {"numbers": Numbers(Reader.open(folder))}


class Numbers:
    """As the trunk reads them."""

    megabytes = 0.0

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def rows(self, inputs: Mapping[str, Sequence[Any]]) -> Any:
        return self.reader.scaling.scaled(inputs["vector"])

    def weigh(self, rows: Any) -> Weigh:
        return standard(rows)
