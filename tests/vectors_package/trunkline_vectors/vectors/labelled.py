"""Labelled rows as a branch reads them: the columns of its trunk, scaled as they were for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from components.lib.core.errors import DataError, IntegrityError
from trunkline_vectors import columns
from trunkline_vectors.columns import FILE, Scaling

if TYPE_CHECKING:
    from components.lib.data.formats import Record
    from trunkline_vectors.vectors.settings import Finetuning

SHOWN = 12  # numbers of a row in a report


class Reader:
    """Records to rows of numbers."""

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        self.columns = scaling.columns

    @classmethod
    def open(cls, folder: Path, options: Finetuning | None = None) -> Self:
        """The columns of a trunk or a branch."""
        return cls(Scaling.parse((folder / FILE).read_bytes()))

    def check(self, facts: Mapping[str, Any], where: str) -> None:
        """Raises IntegrityError if the tokens were made with other columns or another scaling."""
        found = {name: list(getattr(self.scaling, name)) for name in ("columns", "mean", "std")}
        expected = {name: facts[name] for name in found}
        if found != expected:
            raise IntegrityError("the trunk reads other numbers", where=where, found=found, expected=expected)

    def value(self, record: Record, names: str, tell: Callable[[str], None], role: str = "") -> list[float]:
        """The numbers of the trunk's columns, whatever the others of the record."""
        return columns.values({name: record.required(name) for name in self.columns}, self.columns)

    def identity(self, inputs: Mapping[str, Sequence[float]]) -> str:
        """32 hex digits of the numbers."""
        return columns.identity(next(iter(inputs.values()))).hex()

    def tensors(self, rows: Sequence[Sequence[float]]) -> dict[str, Any]:
        """Arguments of a pass of the trunk."""
        import torch

        return {"numbers": torch.from_numpy(self.scaling.scaled(rows))}

    def served(self, rows: Sequence[Any], role: str = "") -> list[list[float]]:
        """What a server was sent; raises DataError for a row of another width."""
        for row in rows:
            if len(row) != len(self.columns):
                expected = f"{len(self.columns)}: {', '.join(self.columns)}"
                raise DataError("a row has another number of numbers", found=len(row), expected=expected)
        return [[float(value) for value in row] for row in rows]

    def excerpt(self, row: Sequence[float]) -> dict[str, str]:
        """How a report shows a row: its first numbers."""
        return {"text": ", ".join(f"{value:.4g}" for value in row[:SHOWN])}

    def save(self, folder: Path) -> None:
        """Adds the columns to a branch."""
        self.scaling.save(folder)
