"""The heavy half of a run: packs and evaluation indexes are made here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from components.ingestion import contamination, plan
from components.ingestion.cleaning import Job, identity, normalised
from components.ingestion.config import Config, Evaluation
from components.ingestion.extraction import BATCH, cleaners, extract
from components.ingestion.reading import Layout, fetched, texts
from components.ingestion.words import Vocabulary
from components.lib.artifacts import Manifest
from components.lib.errors import DataError
from components.lib.formats import Rejected
from components.lib.sources import Object
from components.lib.store import Draft, Store

SMALL = 32 << 20  # bytes of input below which starting processes costs more than it saves
MOST = 16  # processes by default: one reader feeds no more, and a container may own fewer cores than it sees


def extract_all(
    config: Config,
    store: Store,
    rules: dict[str, dict[str, Any]],
    evaluations: Sequence[Manifest],
    objects: Sequence[Object],
    stage: str,
    version: int,
) -> list[Manifest]:
    """Reads and cleans `objects`; returns the packs that hold them."""
    folders = [store.open_folder(index, "index/") for index in evaluations]
    job = Job(rules, folders, config.ngram, config.overlap, config.near_duplicates > 0)
    layout = Layout(config.format, config.format_options, config.encoding, config.text)
    packs = []
    with cleaners(job, _workers(config.workers, objects)) as cleaning:
        for group in plan.groups(objects):
            with store.draft(plan.pack_key(stage, version, {}, group)) as draft:
                extract(group, layout, cleaning, draft)
                packs.append(draft.commit())
    return packs


def index(entry: Evaluation, config: Config, objects: Sequence[Object], draft: Draft) -> None:
    """Writes the index of one evaluation set under `index/`."""
    layout = Layout(entry.format, config.format_options, config.encoding, entry.text)
    vocabulary, ids, words = Vocabulary(), [], []
    batch: list[str] = []
    size = 0
    for source in fetched(objects):
        for item in texts(source, layout):
            if isinstance(item, Rejected):
                fix = "correct the record or the settings of ingestion.decontaminate"
                where = item.where
                raise DataError(
                    "an evaluation record cannot be read", where=where, found=item.reason, fix=fix
                )
            text = normalised(item[0])
            ids.append(identity(text))
            batch.append(text)
            size += len(text)
            if size > BATCH:
                words.append(vocabulary.batch(batch))
                batch, size = [], 0
    words.append(vocabulary.batch(batch))
    (draft.folder / "index").mkdir()
    contamination.save(draft.folder / "index", ids, words, config.ngram)
    for name in ("ids", "runs", "owners", "totals"):
        draft.add(f"index/{name}.npy")
    draft.facts = {"source": entry.source, "documents": len(ids)}


def _workers(asked: int, objects: Sequence[Object]) -> int:
    size = sum(max(entry.size, SMALL if entry.size < 0 else 0) for entry in objects)
    return asked or (1 if size < SMALL else min(len(os.sched_getaffinity(0)), MOST))
