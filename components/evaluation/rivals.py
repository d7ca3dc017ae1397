"""Models that a branch is compared with: found by alias, their weights from the store or the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components.lib.core.errors import MissingError
from components.lib.registry.registered_models import ANCHOR, CHAMPION, Registered, Registry
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context


def find(name: str, tracking_uri: str, branch: Manifest) -> dict[str, Registered]:
    """Champion and anchor of `name`, by alias, where there is one and it is not `branch` itself."""
    registry = Registry(tracking_uri)
    found = {alias: registry.find(name, alias) for alias in (CHAMPION, ANCHOR)}
    return {alias: one for alias, one in found.items() if one and one.reference != branch.reference}


@contextmanager
def weights(context: Context, version: Registered) -> Iterator[Path]:
    """The folder of a version's model: from the store, or from the registry if the store lacks it.

    Raises:
        MissingError, IntegrityError: if neither has it whole.
    """
    try:
        manifest = context.store.resolve(version.reference)
    except MissingError:
        with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
            yield Registry(context.tracking_uri).fetch(version, Path(scratch))
    else:
        yield context.store.open_folder(manifest, "model/")


def distinct(rivals: Mapping[str, Registered]) -> dict[str, Registered]:
    """Those to score: an anchor that is the champion is scored once."""
    champion = rivals.get(CHAMPION)
    return {
        alias: one
        for alias, one in rivals.items()
        if alias == CHAMPION or champion is None or one.reference != champion.reference
    }
