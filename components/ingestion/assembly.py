"""Assembly of the corpus: packs in, shards of the selected documents, statistics and data card out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from components.ingestion import card
from components.ingestion.config import Config
from components.ingestion.corpus_shards import QUARANTINE, Shards
from components.ingestion.packs import Slice
from components.ingestion.selection import selected
from components.ingestion.statistics import Statistics
from components.ingestion.tally import Tally
from components.lib import modalities
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Draft, Store


def assemble(
    config: Config,
    store: Store,
    parts: Sequence[Slice],
    evaluations: Sequence[Manifest],
    draft: Draft,
    older: Sequence[Slice] = (),
) -> None:
    """Writes the corpus' files and facts.

    Args:
        older: sources that an earlier corpus holds: copies of their documents are not news.

    Raises:
        DataError: and OutputError: as `selection.selected` does.
    """
    modality = modalities.load(config.modality, "ingestion")
    with selected(config, store, parts, evaluations, older) as selection:
        catalogue = selection.catalogue
        shards = Shards(draft, modality, config.shard_bytes, selection.settled)
        tally = Tally(parts, catalogue.begin, modality.COLUMNS, store, evaluations)
        start, payload = catalogue.begin, list(modality.COLUMNS.payload)
        for run in _runs(parts):
            for table in _rows(store, run, [*catalogue.columns, *payload]):
                block = catalogue.block(table, np.arange(start, start + len(table)))
                held_out = selection.decide(block)
                tally.add(block, held_out)
                shards.add(table, block.reasons, held_out, block.ids)
                start += len(table)
        shards.close()
    broken = quarantined(store, parts)
    parquet.write_table(broken, draft.folder / "quarantine.parquet", compression="zstd")
    draft.add("quarantine.parquet", len(broken))
    statistics = Statistics.of(selection, tally, parts, shards, config, modality)
    draft.write("statistics.json", json.dumps(statistics.to_dict(), indent=1, sort_keys=True))
    draft.write("card.html", card.render(statistics, modality, {}))
    draft.facts = statistics.facts()


def quarantined(store: Store, parts: Sequence[Slice]) -> pa.Table:
    """The unreadable records of all sources: source, location, reason, excerpt."""
    tables = []
    for part in parts:
        if part.source["quarantined"]:
            table = parquet.read_table(store.open(part.pack, "quarantine.parquet"))
            table = table.filter(pa.compute.equal(table["source"], part.index))
            names = pa.array([part.source["name"]] * len(table), pa.string())
            tables.append(table.set_column(0, "source", names))
    return pa.concat_tables([QUARANTINE.empty_table(), *tables])


def _runs(parts: Sequence[Slice]) -> Iterator[list[Slice]]:
    """Neighbours in the corpus that are neighbours in a pack too, so that they are read as one."""
    run: list[Slice] = []
    for part in parts:
        if run and (part.pack is not run[-1].pack or part.index != run[-1].index + 1):
            yield run
            run = []
        run.append(part)
    if run:
        yield run


def _rows(store: Store, run: list[Slice], columns: list[str]) -> Iterator[pa.Table]:
    """Source (its name), location and some columns of a run's rows, a row group at a time."""
    names = {part.index: part.source["name"] for part in run}
    start, stop = run[0].offset, run[-1].offset + run[-1].source["rows"]
    with parquet.ParquetFile(store.open(run[0].pack, "documents.parquet")) as file:
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            low, high = max(start, first), min(stop, first + rows)
            if low < high:
                table = file.read_row_group(group, columns=["source", "location", *columns])
                table = table.slice(low - first, high - low)
                sources = [names[index] for index in table["source"].to_pylist()]
                yield table.set_column(0, "source", pa.array(sources, pa.string()))
            first += rows
