"""Tables and facts of a study: outcomes, runs, trials, losses, costs."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.finetuning.config import STARTS
from components.finetuning.fitting import Result
from components.finetuning.labelled import Frozen, Split, subset_keys
from components.finetuning.materials import Material
from components.finetuning.tuning import Choices
from components.lib.core import plugins
from components.lib.storage.store import Draft

MOST, LARGEST = 10_000, 32_000_000  # training records that are kept, and bytes


def write(draft: Draft, data: Frozen, results: list[Result], runs: list[dict[str, Any]]) -> None:
    """The files of a branch besides its model."""
    test = data.test
    examples = {"example": range(len(test)), "id": test.ids, **test.inputs, "label": test.labels}
    rejected = pa.schema([(name, pa.string()) for name in ("location", "reason", "excerpt")])
    tables = {
        "examples.parquet": pa.table({name: pa.array(column) for name, column in examples.items()}),
        "outcomes.parquet": pa.concat_tables(_outcomes(result) for result in results),
        "quarantine.parquet": pa.Table.from_pylist(
            [row for rows in data.train.rejected.values() for row in rows], rejected
        ),
    }
    if len(data.train):
        tables["training.parquet"] = _training(data.train)
    for name, table in tables.items():
        pq.write_table(table, draft.folder / name, compression="zstd", write_page_checksum=True)
        draft.add(name, table.num_rows)
    if test.slices:
        path = draft.folder / "slices.parquet"
        pq.write_table(pa.table(test.slices), path, compression="zstd", write_page_checksum=True)
        draft.add(path.name, len(test))
    losses = [
        {**result.spec.tag, "step": int(row["step"]), "loss": row["loss"]}
        for result in results
        for row in result.history
    ]
    lines(draft, "history.jsonl", losses)
    lines(draft, "runs.jsonl", runs)


def _training(train: Split) -> pa.Table:
    """Training records in a random order, as many as are not too large: a student is taught with them."""
    places = np.argsort(subset_keys(train.ids, 0), kind="stable")[:MOST]
    part = train.take(places)
    columns = {"id": part.ids, **part.inputs, "label": part.labels}
    table = pa.table({name: pa.array(column) for name, column in columns.items()})
    return table.slice(0, max(1, int(len(table) * min(1.0, LARGEST / max(1, table.nbytes)))))


def lines(draft: Draft, name: str, rows: list[dict[str, Any]]) -> None:
    """A file of JSON lines."""
    draft.write(name, "".join(json.dumps(row) + "\n" for row in rows), len(rows))


def _outcomes(result: Result) -> pa.Table:
    size = len(next(iter(result.outcomes.values())))
    fixed = {name: pa.array([value] * size) for name, value in result.spec.tag.items()}
    return pa.table({**fixed, "example": np.arange(size), **result.outcomes})


def runs(results: list[Result], choices: Choices) -> list[dict[str, Any]]:
    """A row a run: how it was trained, and what ended it."""
    found = [(result.spec, choices[result.spec.start, result.spec.labels]) for result in results]
    return [{**spec.tag, **asdict(choice)} for spec, choice in found]


def measured(
    tried: list[Result], results: list[Result], starts: dict[str, Material]
) -> dict[str, list[dict[str, Any]] | dict[str, Any]]:
    """What a clock had a part in: the costs of each start, and CPU-seconds of each run with its trials.

    Encoding is shared by all runs of a study; each is charged for the examples that it learns from.
    """
    spent: dict[tuple[Any, ...], float] = {}
    for result in (*tried, *results):
        tag = tuple(result.spec.tag.values())
        spent[tag] = spent.get(tag, 0.0) + result.cpu_seconds
    costs = {
        result.spec.start: {
            "pretraining_cpu_seconds": _rounded(starts[result.spec.start].pretraining),
            **asdict(result.served),
            "note": _note(result),
        }
        for result in results
        if result.served
    }
    charged = [
        {
            **spec.tag,
            "cpu_seconds": _rounded(
                spent[tuple(spec.tag.values())] + starts[spec.start].encoding * spec.labels
            ),
        }
        for spec in (result.spec for result in results)
    ]
    return {"starts": costs, "runs": charged}


def sizes(results: list[Result]) -> dict[str, dict[str, Any]]:
    """Parameters and megabytes of each start, which no clock has a part in."""
    return {
        result.spec.start: {
            "parameters": result.served.parameters,
            "megabytes": result.served.megabytes,
            "note": _note(result),
        }
        for result in results
        if result.served
    }


def _note(result: Result) -> str:
    """What the start has chosen, or else what it is."""
    chosen = result.served.note if result.served else ""
    return chosen or plugins.declared(STARTS, result.spec.start).summary


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)
