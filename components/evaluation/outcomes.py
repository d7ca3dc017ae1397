"""Per-example outcomes as arrays: of one system, and of every run of a branch's grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components.lib.core.errors import DataError

Columns = dict[str, NDArray[Any]]
Run = tuple[str, int, int]  # start, labels, seed

KEYS = ("start", "labels", "seed", "example")


def read(path: Path, examples: pa.Table) -> dict[Run, Columns]:
    """The outcome columns of each run, in the order of `examples`.

    Args:
        path: a branch's outcomes.parquet.
        examples: its frozen examples, one row an example.

    Raises:
        DataError: if a run does not cover exactly these examples.
    """
    table = pq.read_table(path)
    columns = {name: table.column(name).to_numpy() for name in table.column_names}
    starts, start = np.unique(columns["start"].astype(str), return_inverse=True)
    order = np.lexsort((columns["example"], columns["seed"], columns["labels"], start))
    expected = np.sort(examples.column("example").to_numpy())
    place = np.argsort(np.argsort(examples.column("example").to_numpy()))
    found: dict[Run, Columns] = {}
    identity = np.stack([start, columns["labels"], columns["seed"]])[:, order]
    breaks = np.flatnonzero((np.diff(identity) != 0).any(axis=0)) + 1
    for rows in np.split(order, breaks) if order.size else []:
        run = (str(starts[start[rows[0]]]), int(columns["labels"][rows[0]]), int(columns["seed"][rows[0]]))
        if not np.array_equal(columns["example"][rows], expected):
            raise DataError(
                "a run was not scored on every frozen example",
                where=str(path),
                found=f"{run}: {len(rows)} rows",
                expected=f"{len(expected)} examples, each once",
            )
        found[run] = {name: values[rows][place] for name, values in columns.items() if name not in KEYS}
    return found


def table(systems: dict[str, Columns], examples: pa.Table) -> pa.Table:
    """One row a (system, example), for later comparisons."""
    parts = [
        pa.table({"system": [system] * len(examples), "example": examples.column("example"), **columns})
        for system, columns in systems.items()
    ]
    return pa.concat_tables(parts)


def agreement(scored: Columns, recorded: Columns) -> float:
    """Share of examples whose outcomes are the same in both: 1.0 if scoring reproduces.

    Whole numbers count; where a task has none, its real ones are the same up to the order of summation.
    """
    whole = [name for name in scored if name in recorded and scored[name].dtype.kind in "iu"]
    real = [name for name in scored if name in recorded and scored[name].dtype.kind == "f"]
    same = [scored[name] == recorded[name] for name in whole]
    same = same or [np.isclose(scored[name], recorded[name], rtol=1e-4, atol=1e-6) for name in real]
    return float(np.mean(np.all(same, axis=0)))
