"""The model that serves now: looked up in the registry, its weights from the store or the registry."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.lib.core.errors import MissingError
from components.lib.registry.registered_models import CHAMPION, Registered, Registry
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context


def find(name: str, tracking_uri: str, branch: Manifest) -> Registered | None:
    """The champion of `name`; None if there is none or if it is `branch` itself."""
    found = Registry(tracking_uri).find(name, CHAMPION)
    return None if found is None or found.reference == branch.reference else found


@contextmanager
def weights(context: Context, champion: Registered) -> Iterator[Path]:
    """The folder of the champion's model: from the store, or from the registry if the store lacks it.

    Raises:
        MissingError, IntegrityError: if neither has it whole.
    """
    try:
        manifest = context.store.resolve(champion.reference)
    except MissingError:
        with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
            yield Registry(context.tracking_uri).fetch(champion, Path(scratch))
    else:
        yield context.store.open_folder(manifest, "model/")
