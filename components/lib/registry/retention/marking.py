"""Mark phase: which outputs are reachable from registered versions and recent runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from components.lib.core.errors import ConfigError
from components.lib.registry.registered_models import Registered
from components.lib.registry.retention.inventory import Inventory, Output, references
from components.lib.storage.lineage import walk

DAY = 86_400.0
RUNNING = 90 * DAY  # a run that has not told its end counts as running for so long


@dataclass(frozen=True)
class Policy:
    """How long what is kept; all in seconds.

    Attributes:
        keep: how long an output of a run, and an output that no run has named, are kept.
        grace: how long what is not needed stays hidden before it is deleted, and files without a manifest.
        delete: whether anything is changed at all.
        unregistered: whether the registry may name nothing of this store.
    """

    keep: float = 30 * DAY
    grace: float = 7 * DAY
    delete: bool = False
    unregistered: bool = False


@dataclass(frozen=True)
class Marks:
    """What is needed.

    Attributes:
        why: place -> the first reason that was found.
        missing: what a registered version names and the store does not hold.
        since: files that are newer belong to runs that may be at work.
    """

    why: dict[str, str]
    missing: tuple[str, ...]
    since: float


def mark(inventory: Inventory, versions: Iterable[Registered], policy: Policy, now: float) -> Marks:
    """Follows everything that is needed as far back as the raw data.

    Raises:
        ConfigError: if the registry names nothing of a store where something would go: it is another's.
    """
    roots: dict[str, str] = {}
    for version in versions:
        for place in references(dict(version.tags)):
            roots.setdefault(place, f"registered: {version.name} version {version.version}")
    known = {output.place: output for output in inventory.hidden.values()} | inventory.outputs
    registered = len(roots.keys() & known.keys())
    since = now - policy.grace
    for run in inventory.runs.values():
        if not run.ended and run.newest > now - max(RUNNING, policy.keep):
            since = min(since, run.oldest)
            roots |= {place: f"running: {run.id}" for place in run.outputs if place not in roots}
        elif run.newest > now - policy.keep:
            roots |= {place: f"recent: {run.id}" for place in run.outputs if place not in roots}
    for output in inventory.outputs.values():
        if output.modified > now - policy.keep:
            roots.setdefault(output.place, "made lately")
    why, missing = _descend(known, roots)
    if not registered and not policy.unregistered and known.keys() - why.keys():
        what, found = "the registry names nothing of this store", f"{len(known)} outputs"
        fix = "name the registry that belongs to it; if nothing is registered yet: --nothing-registered"
        raise ConfigError(what, where="tracking_uri", found=found, fix=fix)
    return Marks(why, tuple(place for place in missing if why[place].startswith("registered")), since)


def _descend(known: Mapping[str, Output], roots: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """The roots and all they were made from, by the first root that leads there; and what there is not."""
    why: dict[str, str] = {}

    def parents(place: str) -> list[str]:
        found = references(asdict(known[place].manifest)) if place in known else ()
        return [parent for parent in found if parent not in why]

    for root, reason in roots.items():
        if root not in why:
            why |= dict.fromkeys(walk([root], parents), reason)
    return why, sorted(why.keys() - known.keys())
