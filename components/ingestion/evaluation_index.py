"""Index of an evaluation set, for decontamination: keeps its documents out of the corpus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from components.ingestion import packs
from components.ingestion.config import Config, Evaluation
from components.ingestion.record_reader import Fetched, fetched, layout_of, payloads
from components.ingestion.sandbox import Child, Lost
from components.lib import modalities
from components.lib.core.errors import DataError
from components.lib.data.formats import Account, Rejected
from components.lib.data.listing import PassedOver
from components.lib.data.sifting import sift
from components.lib.data.sources import chosen, find_all
from components.lib.modalities import Indexer
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

GROUPS = "index/groups.npy"


@dataclass
class Indexing:
    """What the sandboxed process does that makes an index: takes files, then a folder for the index."""

    entry: Evaluation
    config: Config

    def __post_init__(self) -> None:
        own: Any = modalities.load(self.config.modality, "ingestion")
        self.indexer: Indexer = own.indexer(self.config.own)
        self.group = self.entry.group if self.config.group else ""
        self.groups: set[bytes] = set()

    def __call__(self, request: Fetched | Path) -> Iterator[int]:
        """For a folder, which gets the index, the number of documents."""
        if isinstance(request, Path):
            if self.group:
                hashes = np.frombuffer(b"".join(sorted(self.groups)), np.uint8).reshape(-1, 16)
                np.save(request / Path(GROUPS).name, hashes)
            yield self.indexer.save(request)
            return
        for item in payloads(request, self.entry, self.config, self.group, PassedOver()):
            if isinstance(item, Account):
                continue
            if isinstance(item, Rejected):
                fix = "correct the record or the settings of ingestion.decontaminate"
                what = "an evaluation record cannot be read"
                raise DataError(what, where=item.where, found=item.reason, fix=fix)
            payload, where, group = item
            if chosen(where, self.entry.share):
                self.indexer.add(payload)
                self.groups.add(group)


def index(store: Store, entry: Evaluation, config: Config, passed: PassedOver) -> Manifest:
    """The index of an evaluation set, made once for each state of its objects.

    Args:
        passed: gets the files that are not data.

    Raises:
        DataError: if any of it cannot be read: what is not known of it could not be kept out of the corpus.
    """
    layout = layout_of(entry, config)
    objects = sift(find_all([entry.source], passed), layout, passed)
    own: Any = modalities.load(config.modality, "ingestion")
    settings = {
        "source": entry.source,
        "format": layout.format,
        "format_options": layout.options,
        "encoding": layout.encoding,
        "share": entry.share,
        "modality": config.modality,
        **own.indexed(config.own, entry.fields),
        **({"group": entry.group} if config.group and entry.group else {}),
    }
    key = packs.key_of("contamination", settings, objects)
    found = store.find(key)
    if found is not None:
        return found
    with store.draft(key) as draft:
        folder = draft.folder / "index"
        folder.mkdir()
        with closing(Child(partial(Indexing, entry, config), config.memory)) as child:
            for source, _ in fetched(objects):
                _told(child, source, config.patience(source.bytes), source.entry.name)
            size = sum(max(one.size, 0) for one in objects)
            (documents,) = _told(child, folder, config.patience(size), entry.source)
        for path in sorted(folder.iterdir()):
            draft.add(f"index/{path.name}")
        draft.facts = {"source": entry.source, "documents": documents}
        return draft.commit()


def _told(child: Child, request: Fetched | Path, seconds: float, where: str) -> list[int]:
    try:
        return list(child.ask(request, seconds))
    except Lost as lost:
        fix = "correct the file, or raise the limit if you trust it"
        raise DataError(
            "an evaluation file cannot be read", where=where, found=lost.reason, fix=fix
        ) from lost
