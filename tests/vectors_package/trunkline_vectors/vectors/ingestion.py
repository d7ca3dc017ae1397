"""Vectors: numbers are read from the named columns, equal rows count once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.lib.core.errors import DataError
from components.lib.data.formats import Record, Rejected, rejected
from components.lib.modalities import Cleaned, Columns, Indexer, Payload, Words
from trunkline_vectors import columns
from trunkline_vectors.vectors.settings import Ingestion

COLUMNS = Columns(
    payload={"vector": "binary", "columns": "string"},
    measures=("numbers",),
    totals=("numbers",),
    lengths=("numbers",),
    kinds=("columns",),
)
NATIVE = False
WORDS = Words(
    unit="row",
    identity="its numbers",
    found="stand in the sources, number for number",
    altered="Nothing was changed in",
    spread="Width of the rows",
    lengths={"numbers": ("Numbers of a row", "numbers of a row")},
)
SHOWN = 8  # numbers of a row on the data card


def identity(options: Ingestion, evaluations: bool) -> dict[str, Any]:
    """Nothing."""
    return {}


def indexed(options: Ingestion, fields: Mapping[str, str]) -> dict[str, Any]:
    """Nothing."""
    return {}


def shown(options: Ingestion) -> dict[str, Any]:
    """Nothing."""
    return {}


def payload(record: Record, fields: Mapping[str, str]) -> Payload | Rejected:
    """The numbers as bytes of float64, and the names of their columns."""
    names = columns.named(record.fields, fields["vector"], (fields["label"], fields["id"]))
    if not names:
        return rejected(record.where, f"no column of numbers is named '{fields['vector']}'", record.fields)
    try:
        row = columns.values(record.fields, names)
    except DataError as error:
        return rejected(record.where, f"{error.what}: {error.found}", record.fields)
    return np.asarray(row, "<f8").tobytes(), ",".join(names)


class _Cleaner:
    def __init__(self, evaluations: Sequence[Path]) -> None:
        self._ids = {row.tobytes() for folder in evaluations for row in np.load(folder / "ids.npy")}

    def __call__(self, payloads: Sequence[Payload]) -> Cleaned:
        rows = [np.frombuffer(data, "<f8") for data, _ in payloads]
        ids = [columns.identity(row) for row in rows]
        return Cleaned(
            payloads=list(payloads),
            ids=ids,
            reasons=[""] * len(rows),
            measures={"numbers": np.array([len(row) for row in rows], np.int32)},
            shared=np.array([2 * (name in self._ids) for name in ids], np.int8),
        )


def cleaner(options: Ingestion, folders: Sequence[Path]) -> Callable[[Sequence[Payload]], Cleaned]:
    """Compares rows with those of evaluation sets."""
    return _Cleaner(folders)


class _Collector:
    def __init__(self) -> None:
        self._ids: list[bytes] = []

    def add(self, payload: Payload) -> None:
        self._ids.append(columns.identity(np.frombuffer(payload[0], "<f8")))

    def save(self, folder: Path) -> int:
        np.save(folder / "ids.npy", np.frombuffer(b"".join(self._ids), np.uint8).reshape(-1, 16))
        return len(self._ids)


def indexer(options: Ingestion) -> Indexer:
    """Identities of an evaluation set."""
    return _Collector()


def excerpt(payload: Payload) -> Payload:
    """Its columns."""
    return b"", payload[1]


def excerpts(table: Any) -> Any:
    """Their columns."""
    return table["columns"]


def sample(row: Mapping[str, Any], settled: Mapping[str, Any]) -> str:
    """Its first numbers."""
    found = np.frombuffer(row["vector"], "<f8")
    return ", ".join(f"{value:.4g}" for value in found[:SHOWN]) + (" ..." if len(found) > SHOWN else "")


def samples(samples: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """Some rows."""
    rows = [(sample["source"], sample["vector"]) for sample in samples]
    return {"note": f"Chosen by hash, cut at {SHOWN} numbers.", "texts": rows}


def contaminated(settings: Mapping[str, Any]) -> str:
    """When two rows count as the same."""
    return "A row is left out if its numbers are those of an evaluation row."
