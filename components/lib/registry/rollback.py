"""An alias taken from a version, with the reason: `python -m components.lib.registry.rollback NAME`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from components.lib.core.errors import ConfigError, TrunklineError
from components.lib.registry.aliases import Moves, locked
from components.lib.registry.registered_models import CHAMPION, PREVIOUS, Registered, Registry
from components.lib.storage.objects import Objects
from components.lib.storage.store import Store

WITHDRAWN = "trunkline.withdrawn"  # tag of a version: when, by whom and why an alias was taken from it
WHY = 500  # characters of a reason


def withdraw(
    registry: Registry,
    objects: Objects,
    version: Registered,
    to: Mapping[str, Registered],
    why: str,
    owner: str,
) -> bool:
    """Moves aliases from `version` and notes why; False if the last of them points to it no more.

    The note first: whoever is killed in between does the same again.

    Args:
        to: alias -> where it goes.
        owner: who does it, in the note.

    Raises:
        ServiceError: retriable, if somebody else moves them at once.
    """
    with locked(objects, [version.name], owner, lambda line: print(line, flush=True)):
        moves = Moves(objects, version.name)
        found = registry.find(version.name, list(to)[-1])
        if found is None or found.version != version.version:
            return False
        when = datetime.now(UTC).isoformat(timespec="seconds")
        registry.tag(version, {WITHDRAWN: f"{when} {owner}: {why}"[:WHY]})
        moves.make(registry, to)
    return True


def main(words: list[str] | None = None) -> int:
    """Exchanges the aliases `champion` and `previous`; returns 0, or the exit code of a typed error."""
    arguments = _parser().parse_args(words)
    try:
        registry, name = Registry(arguments.tracking_uri), arguments.name
        now, before = registry.require(name, CHAMPION), registry.require(name, PREVIOUS)
        if now.version == before.version:
            what, fix = (
                "previous is the champion already",
                "mlflow's UI or client sets the alias to any version",
            )
            raise ConfigError(what, where=name, found=f"version {now.version}", fix=fix)
        owner = f"{os.environ.get('USER') or 'somebody'} by hand"
        objects = Store(arguments.store or now.tags["trunkline.store"]).objects
        if not withdraw(registry, objects, now, {PREVIOUS: now, CHAMPION: before}, arguments.why, owner):
            raise ConfigError("the champion moved meanwhile", where=name, fix="look at it, and say so again")
    except TrunklineError as error:
        print(f"the alias stays where it is: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{name}: champion is version {before.version} again, previous is version {now.version}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.lib.registry.rollback", description=__doc__)
    parser.add_argument("name", help="of the registered model")
    parser.add_argument("--why", default="no reason given", help="kept in a tag of the version that goes")
    environ = os.environ
    parser.add_argument(
        "--store", default=environ.get("TRUNKLINE_STORE", ""), help="else that of the version"
    )
    parser.add_argument("--tracking-uri", default=environ.get("MLFLOW_TRACKING_URI", ""), help="MLflow")
    return parser


if __name__ == "__main__":
    sys.exit(main())
