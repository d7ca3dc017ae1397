"""Extraction of source objects to packs: read | clean | write.

A file that cannot be decoded to its end has no part in a pack of others. It gets a rejection, a pack without
rows under a key that says why, which the next run does not look for: the file is tried again. For what a
process died of may be the machine (too slow, too small) and not the file, and a limit may since be raised.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from components.ingestion import packs
from components.ingestion.cleaning_pool import CleaningPool, Culprits
from components.ingestion.config import Config
from components.ingestion.packs import PackWriter
from components.ingestion.record_reader import Beside, Fetched, Loss, RecordReader, read
from components.ingestion.sandbox import Child
from components.lib.data.formats import Rejected
from components.lib.data.listing import Object
from components.lib.executors import Executor
from components.lib.storage import artifacts, source_cache
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Draft, Store

BATCH = 1 << 20  # characters or bytes that one process cleans at a time
SMALL = 32 << 20  # bytes of input below which starting processes costs more than it saves
MOST = 16  # processes by default: one reader feeds no more, and a container may own fewer cores than it sees


def extract(
    executor: Executor,
    config: Config,
    store: Store,
    evaluations: Sequence[Manifest],
    objects: Sequence[Object],
    stage: str,
    beside: Beside | None = None,
) -> list[Manifest]:
    """The packs that hold `objects`; small ones share a pack."""
    size = sum(max(entry.size, SMALL if entry.size < 0 else 0) for entry in objects)
    workers = min(executor.threads, config.workers or (1 if size < SMALL else MOST))
    step = partial(Extraction, config, store.uri, store.cache, evaluations, stage, beside, workers)
    return list(executor.map(step, packs.dealt(objects)))


class Extraction:
    """The step that extracts the objects of one hand: read | clean | write, each in processes of its own.

    Args:
        uri: of the store; `cache` is its folder for copies.
        workers: processes that clean.
    """

    def __init__(
        self,
        config: Config,
        uri: str,
        cache: Path,
        evaluations: Sequence[Manifest],
        stage: str,
        beside: Beside | None,
        workers: int,
    ) -> None:
        self._config, self._stage, self._store = config, stage, Store(uri, cache)
        indexes = [self._store.open_folder(index, "index/") for index in evaluations]
        self._folder = tempfile.TemporaryDirectory(prefix="trunkline-")
        notes = beside and beside.fetched(Path(self._folder.name))
        self._reader = Child(partial(RecordReader, config, BATCH, notes), config.memory)
        self._pool = CleaningPool(config, indexes, workers)

    def __call__(self, objects: Sequence[Object]) -> Iterator[Manifest]:
        """The packs of a hand, made by this process if no other has; whatever was lost has its own."""
        todo = list(objects)
        with source_cache.of(self._store):
            while todo:
                key = packs.key_of(self._stage, {}, todo)
                if (found := self._store.find(key)) is not None:
                    yield found
                    return
                with self._store.draft(key) as draft:
                    losses = _write(todo, self._config, self._reader, self._pool, draft)
                    if not losses:
                        yield draft.commit()
                        return
                yield _rejection(losses, self._config, self._store)
                lost = {loss.file.entry.name for loss in losses}
                todo = [entry for entry in todo if entry.name not in lost]  # again, without a row of them

    def close(self) -> None:
        """Ends its processes."""
        self._reader.close()
        self._pool.close()
        self._folder.cleanup()


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
