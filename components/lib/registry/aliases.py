"""Moving aliases under a lease, and back: `python -m components.lib.registry.aliases previous NAME`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from components.lib.core.errors import ConfigError, TrunklineError
from components.lib.registry.registered_models import CHAMPION, PREVIOUS, Registered, Registry
from components.lib.storage.artifacts import sha256
from components.lib.storage.lease import Lease
from components.lib.storage.objects import Objects
from components.lib.storage.store import Store

WITHDRAWN = "trunkline.withdrawn"  # tag of a version: when, by whom and why an alias was taken from it
WHY = 500  # characters of a reason


@contextmanager
def locked(
    objects: Objects, models: Sequence[str], owner: str, tell: Callable[[str], None]
) -> Iterator[None]:
    """Keeps others on this store from moving aliases of these models; waits for those that do.

    MLflow knows no compare-and-set. A run on another store is met by reading back and by trying again.

    Args:
        tell: gets one line a holder that is waited for.
    """

    def waits(holder: str) -> None:
        tell(f"run {holder} moves the alias of the same model: this one waits until it is done")

    with ExitStack() as stack:
        for model in sorted(set(models)):  # in one order, so that no two wait for each other
            lease = Lease(objects, f"aliases/{sha256(model.encode())[:32]}", owner)
            lease.wait(lambda: False, waits)
            stack.enter_context(lease.kept())
        yield


def withdraw(
    registry: Registry,
    objects: Objects,
    version: Registered,
    alias: str,
    to: Registered,
    why: str,
    owner: str,
) -> bool:
    """Moves `alias` from `version` to `to` and notes why; False if it points to `version` no more.

    The note first: whoever is killed in between does the same again.
    """
    with locked(objects, [version.name], owner, lambda line: print(line, flush=True)):
        found = registry.find(version.name, alias)
        if found is None or found.version != version.version:
            return False
        when = datetime.now(UTC).isoformat(timespec="seconds")
        registry.tag(version, {WITHDRAWN: f"{when} {owner}: {why}"[:WHY]})
        registry.set_alias(to, alias)
    return True


def main(words: list[str] | None = None) -> int:
    """Gives the alias `champion` back to `previous`; returns 0, or the exit code of a typed error."""
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
        if not withdraw(registry, objects, now, CHAMPION, before, arguments.why, owner):
            raise ConfigError("the champion moved meanwhile", where=name, fix="look at it, and say so again")
        registry.set_alias(now, PREVIOUS)
    except TrunklineError as error:
        print(f"the alias stays where it is: {error}", file=sys.stderr)
        return error.exit_code
    print(f"{name}: champion is version {before.version} again, previous is version {now.version}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m components.lib.registry.aliases", description=__doc__)
    parser.add_argument("what", choices=[PREVIOUS], help="the champion before becomes it again")
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
