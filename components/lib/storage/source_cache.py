"""Cache of downloaded raw files in the store, addressed by SHA-256.

What only one image can fetch lies here for the others, and no pod but the first asks the network for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.store import Store

VERSION = 1

_stores: list[Store] = []  # of the stages that this process is in; the last one is asked


@contextmanager
def of(store: Store) -> Iterator[None]:
    """Inside, `find` looks into this store."""
    _stores.append(store)
    try:
        yield
    finally:
        _stores.pop()


def find(sha256: str) -> Path | None:
    """A local path of the file with this hash, checked; None if the store of this stage has none."""
    manifest = _stores[-1].find(_key(sha256)) if _stores else None
    return _stores[-1].open(manifest, manifest.files[0].name) if manifest else None


def held(store: Store, sha256: str) -> Manifest | None:
    """The manifest of the file with this hash, if the store has it."""
    return store.find(_key(sha256))


def put(store: Store, sha256: str, path: Path) -> Manifest:
    """Puts a file, whose hash the caller has checked, into the store."""
    with store.draft(_key(sha256)) as draft:
        shutil.copyfile(path, draft.folder / path.name)
        draft.add(path.name)
        return draft.commit()


def _key(sha256: str) -> Key:
    return Key("sources", VERSION, {"sha256": sha256})
