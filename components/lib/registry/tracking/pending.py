"""What never reached MLflow, kept in the store until a later stage can send it.

<store>/unsent/<run>.<stage>[.<task>].json
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from components.lib.registry.tracking.outbox import Item
from components.lib.storage.stage import Context
from components.lib.storage.store import Store

PREFIX = "unsent/"


@dataclass(frozen=True)
class Kept:
    """The end of one stage's tracking.

    Attributes:
        context: run_id, stage, task and details.
        key, name: of the MLflow run.
        status: with which the run is to end.
    """

    place: str
    tracking_uri: str
    context: dict[str, Any]
    key: str
    name: str
    status: str
    items: tuple[Item, ...]


def keep(context: Context, key: str, name: str, status: str, items: list[Item]) -> None:
    """Writes down what could not be sent."""
    place = f"{PREFIX}{'.'.join(filter(None, (context.run_id, context.stage, context.task)))}.json"
    names = {word: getattr(context, word) for word in ("run_id", "stage", "task", "details")}
    kept = Kept(place, context.tracking_uri, names, key, name, status, tuple(items))
    context.store.objects.write(place, json.dumps(asdict(kept)).encode())


def found(store: Store) -> Iterator[Kept]:
    """All that is kept."""
    for key in list(store.objects.keys(PREFIX)):
        raw = json.loads(store.objects.read(key))
        yield Kept(**{**raw, "items": tuple(Item(*item) for item in raw["items"])})


def forget(store: Store, kept: Kept) -> None:
    """It has arrived."""
    store.objects.delete(kept.place)
