"""Vectors: all rows of a split as one array on disk, with the mean and deviation of each column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from pyarrow import parquet

from components.lib.core.errors import DataError, IntegrityError
from components.lib.executors import Executor
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.objects import connect
from components.lib.storage.store import Draft, Store
from trunkline_vectors.columns import FILE, Scaling
from trunkline_vectors.vectors.settings import Tokenization

FOLDER = "tokenizer"  # what a trunk is kept with


def plan(
    options: Tokenization, executor: Executor
) -> tuple[dict[str, Any], Callable[[Store, Manifest, Draft], None]]:
    """What decides the output, and what builds it."""
    folder, _, name = options.scaling.rpartition("/")
    given = connect(folder).read(name) if options.scaling else b""

    def build(store: Store, corpus: Manifest, draft: Draft) -> None:
        _build(store, corpus, draft, given)

    return {"scaling": artifacts.sha256(given) if given else ""}, build


def _build(store: Store, corpus: Manifest, draft: Draft, given: bytes) -> None:
    found = corpus.facts["columns"]
    if len(found) != 1:
        fix = "name the columns of numbers, as `ingestion.vector`"
        raise DataError("rows have different columns of numbers", where=corpus.uri, found=found, fix=fix)
    columns = tuple(next(iter(found)).split(","))
    counts, sums = {}, np.zeros((2, len(columns)))
    for split in ("train", "validation"):
        count = counts[split] = corpus.facts["documents"].get(split, 0)
        array = np.lib.format.open_memmap(
            draft.folder / f"{split}-00000.npy", "w+", np.float64, (count, len(columns))
        )
        at = 0
        for rows in _rows(store, corpus, split, len(columns)):
            array[at : at + len(rows)] = rows
            at += len(rows)
            if split == "train":
                sums += rows.sum(axis=0), (rows**2).sum(axis=0)
        if at != count:
            what = "the corpus is not what its manifest tells"
            raise IntegrityError(what, where=corpus.uri, found=f"{at} rows", expected=f"{count} rows")
        array.flush()
        draft.add(f"{split}-00000.npy", count)
    mean, square = sums / max(1, counts["train"])
    deviation = np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), 1e-9)
    scaling = Scaling(columns, tuple(mean.round(9).tolist()), tuple(deviation.round(9).tolist()))
    scaling = Scaling.parse(given) if given else scaling
    (draft.folder / FOLDER).mkdir()
    scaling.save(draft.folder / FOLDER)
    draft.add(f"{FOLDER}/{FILE}")
    draft.facts = {**{name: list(value) for name, value in asdict(scaling).items()}, "rows": counts}


def _rows(store: Store, corpus: Manifest, split: str, width: int) -> Iterator[Any]:
    for name in corpus.names(f"{split}-", ".parquet"):
        with parquet.ParquetFile(store.open(corpus, name)) as file:
            for batch in file.iter_batches(1024, columns=["vector"], use_threads=False):
                data = b"".join(batch.column("vector").to_pylist())
                yield np.frombuffer(data, "<f8").reshape(-1, width)
