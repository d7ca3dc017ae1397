"""Extraction of source objects to packs: read | clean | write.

A file that cannot be decoded to its end has no part in a pack of others. It gets a rejection, a pack without
rows under a key that says why, which the next run does not look for: the file is tried again. For what a
process died of may be the machine (too slow, too small) and not the file, and a limit may since be raised.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial

from components.ingestion import packs
from components.ingestion.cleaning_pool import CleaningPool, Culprits
from components.ingestion.config import Config
from components.ingestion.packs import PackWriter
from components.ingestion.record_reader import Beside, Fetched, Loss, RecordReader, read
from components.ingestion.sandbox import Child
from components.lib.core.hardware import cores
from components.lib.data.formats import Rejected
from components.lib.data.listing import Object
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Draft, Store

BATCH = 1 << 20  # characters or bytes that one process cleans at a time
SMALL = 32 << 20  # bytes of input below which starting processes costs more than it saves
MOST = 16  # processes by default: one reader feeds no more, and a container may own fewer cores than it sees


def extract(
    config: Config,
    store: Store,
    evaluations: Sequence[Manifest],
    objects: Sequence[Object],
    stage: str,
    beside: Beside | None = None,
) -> list[Manifest]:
    """The packs that hold `objects`; small ones share a pack."""
    indexes = [store.open_folder(index, "index/") for index in evaluations]
    size = sum(max(entry.size, SMALL if entry.size < 0 else 0) for entry in objects)
    workers = config.workers or (1 if size < SMALL else min(cores(), MOST))
    reader = Child(partial(RecordReader, config, BATCH, beside), config.memory)
    pool, made = CleaningPool(config, indexes, workers), []
    with closing(reader), closing(pool):
        for todo in packs.dealt(objects):
            while todo:
                with store.draft(packs.key_of(stage, {}, todo)) as draft:
                    losses = _write(todo, config, reader, pool, draft)
                    if not losses:
                        made.append(draft.commit())
                        break
                made.append(_rejection(losses, config, store))
                lost = {loss.file.entry.name for loss in losses}
                todo = [entry for entry in todo if entry.name not in lost]  # again, without a row of them
    return made


def _write(
    objects: Sequence[Object], config: Config, reader: Child, pool: CleaningPool, draft: Draft
) -> list[Loss]:
    """Fills a pack.

    Returns:
        The files that were lost: with any, nothing is published, as rows of them are among the others.
    """
    writer, files, lost = PackWriter(draft, config), list[Fetched](), dict[int, Loss]()
    for batch, cleaned in pool.clean(read(objects, config, reader, files, lost)):
        if isinstance(cleaned, Culprits):
            for index, reason in cleaned.items():
                number, where = batch.places[index]
                lost.setdefault(number, Loss(files[number], where, reason))
        elif not lost:
            writer.add(batch, cleaned)
    if not lost:
        writer.close(files)
    return [lost[number] for number in sorted(lost)]


def _rejection(losses: Sequence[Loss], config: Config, store: Store) -> Manifest:
    """The pack of files that were lost; under a stage of its own, where no run looks for what it knows.

    Their content counts as another than it is, so that no corpus is taken for one that holds it.
    """
    reasons = [[loss.where, loss.reason, loss.file.sha256] for loss in losses]
    settings = {
        "modality": config.modality,
        "reasons": reasons,
        **({"group": config.group} if config.group else {}),
    }
    key = packs.key_of("rejection", settings, [loss.file.entry for loss in losses])
    with store.draft(key) as draft:
        writer = PackWriter(draft, config)
        for number, loss in enumerate(losses):
            writer.reject(number, Rejected(loss.where, loss.reason, ""))
        for source, loss in zip(writer.close([loss.file for loss in losses]), losses, strict=True):
            content = artifacts.sha256(f"{loss.file.sha256}: {loss.reason}".encode())
            source |= {"sha256": content, "lost": loss.reason}
        return draft.commit()
