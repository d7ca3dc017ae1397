"""The heavy half of a run: packs and evaluation indexes are made here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from components.ingestion import modalities, plan
from components.ingestion.config import Config, Evaluation
from components.ingestion.extraction import Job, cleaners, extract
from components.ingestion.modalities import Indexer
from components.ingestion.reading import Layout, fetched, payloads
from components.lib.artifacts import Manifest
from components.lib.cores import cores
from components.lib.errors import DataError
from components.lib.formats import Rejected, Stranger
from components.lib.sources import Object, chosen
from components.lib.store import Draft, Store

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
    with cleaners(job, _workers(config.workers, objects)) as cleaning:
        for group in plan.groups(objects):
            with store.draft(plan.pack_key(stage, version, {}, group)) as draft:
                extract(group, config, layout, cleaning, draft)
                packs.append(draft.commit())
    return packs


def index(entry: Evaluation, config: Config, objects: Sequence[Object], draft: Draft) -> None:
    """Writes the index of one evaluation set under `index/`."""
    options = entry.format_options or config.format_options
    layout = Layout(entry.format, options, config.encoding, config.modality)
    modality = modalities.load(config.modality)
    indexer: Indexer = modality.indexer(config)
    for source in fetched(objects):
        for item in payloads(source, layout, partial(modality.payload, fields=entry)):
            if isinstance(item, Stranger):
                continue
            if isinstance(item, Rejected):
                fix = "correct the record or the settings of ingestion.decontaminate"
                where = item.where
                raise DataError(
                    "an evaluation record cannot be read", where=where, found=item.reason, fix=fix
                )
            if chosen(item[1], entry.share):
                indexer.add(item[0])
    folder = draft.folder / "index"
    folder.mkdir()
    documents = indexer.save(folder)
    for path in sorted(folder.iterdir()):
        draft.add(f"index/{path.name}")
    draft.facts = {"source": entry.source, "documents": documents}


def _workers(asked: int, objects: Sequence[Object]) -> int:
    size = sum(max(entry.size, SMALL if entry.size < 0 else 0) for entry in objects)
    return asked or (1 if size < SMALL else min(cores(), MOST))
