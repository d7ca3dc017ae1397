"""The heavy half of a run: packs and evaluation indexes are made here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from components.ingestion import plan
from components.ingestion.config import Config, Evaluation
from components.ingestion.extraction import Loss, extract, reject
from components.ingestion.reading import Fetched, Layout, Reader, fetched, patience, payloads, told
from components.ingestion.sandbox import Child, Lost
from components.ingestion.workers import Job, cleaners
from components.lib import modalities
from components.lib.core.errors import DataError
from components.lib.core.hardware import cores
from components.lib.data.formats import Rejected, Stranger
from components.lib.data.sources import Object, chosen
from components.lib.modalities import Indexer
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Draft, Store

BATCH = 1 << 20  # characters or bytes that one process cleans at a time
SMALL = 32 << 20  # bytes of input below which starting processes costs more than it saves
MOST = 16  # processes by default: one reader feeds no more, and a container may own fewer cores than it sees


def extract_all(
    config: Config,
    store: Store,
    evaluations: Sequence[Manifest],
    objects: Sequence[Object],
    stage: str,
    version: int,
) -> list[Manifest]:
    """Reads and cleans `objects`; returns the packs that hold them."""
    job = Job(config, [store.open_folder(index, "index/") for index in evaluations])
    layout = Layout(config.format, config.format_options, config.encoding, config.modality)
    packs = []
    reader = Child(partial(Reader, layout, config, BATCH), config.memory)
    with closing(reader), cleaners(job, _workers(config.workers, objects)) as cleaning:
        for group in plan.groups(objects):
            while group:
                with store.draft(plan.pack_key(stage, version, {}, group)) as draft:
                    losses = extract(group, config, reader, cleaning, draft)
                    if not losses:
                        packs.append(draft.commit())
                        break
                packs.append(_rejection(losses, config, store, version))
                lost = {loss.file.entry.name for loss in losses}
                group = [entry for entry in group if entry.name not in lost]  # again, without a row of them
    return packs


def _rejection(losses: Sequence[Loss], config: Config, store: Store, version: int) -> Manifest:
    """The pack of files that were lost; under a stage of its own, where no run looks for what it knows."""
    reasons = [[loss.where, loss.reason, loss.file.sha256] for loss in losses]
    settings = {"modality": config.modality, "reasons": reasons}
    key = plan.pack_key("rejection", version, settings, [loss.file.entry for loss in losses])
    with store.draft(key) as draft:
        reject(losses, config, draft)
        return draft.commit()


@dataclass
class Indexing:
    """What a process does to index an evaluation set: takes its files, then a folder for the index."""

    entry: Evaluation
    config: Config

    def __post_init__(self) -> None:
        self.modality = modalities.load(self.config.modality, "ingestion")
        self.indexer: Indexer = self.modality.indexer(self.config.own)
        options = self.entry.format_options or self.config.format_options
        self.layout = Layout(self.entry.format, options, self.config.encoding, self.config.modality)

    def __call__(self, request: Fetched | Path) -> Iterator[int]:
        """For a folder, which gets the index, the number of documents."""
        if isinstance(request, Path):
            yield self.indexer.save(request)
            return
        for item in payloads(request, self.layout, partial(self.modality.payload, fields=self.entry.fields)):
            if isinstance(item, Stranger):
                continue
            if isinstance(item, Rejected):
                fix = "correct the record or the settings of ingestion.decontaminate"
                what = "an evaluation record cannot be read"
                raise DataError(what, where=item.where, found=item.reason, fix=fix)
            if chosen(item[1], self.entry.share):
                self.indexer.add(item[0])


def index(entry: Evaluation, config: Config, objects: Sequence[Object], draft: Draft) -> None:
    """Writes the index of one evaluation set under `index/`.

    Raises:
        DataError: if any of it cannot be read: what is not known of it could not be kept out of the corpus.
    """
    folder = draft.folder / "index"
    folder.mkdir()
    with closing(Child(partial(Indexing, entry, config), config.memory)) as child:
        for source, _ in fetched(objects):
            _told(child, source, patience(config, source.bytes), source.entry.name)
        (documents,) = _told(
            child, folder, patience(config, sum(max(one.size, 0) for one in objects)), entry.source
        )
    for path in sorted(folder.iterdir()):
        draft.add(f"index/{path.name}")
    draft.facts = {"source": entry.source, "documents": documents}


def _told(child: Child, request: Fetched | Path, seconds: float, where: str) -> list[int]:
    try:
        return list(child.ask(request, seconds))
    except Lost as lost:
        fix = "correct the file, or raise the limit if you trust it"
        raise DataError("an evaluation file cannot be read", where=where, found=told(lost), fix=fix) from lost


def _workers(asked: int, objects: Sequence[Object]) -> int:
    size = sum(max(entry.size, SMALL if entry.size < 0 else 0) for entry in objects)
    return asked or (1 if size < SMALL else min(cores(), MOST))
