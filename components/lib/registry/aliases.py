"""Aliases of a registered model, moved by compare-and-set, which MLflow does not know: the store does it.

    aliases/<hash of the name>/move.<number>.json      alias -> version, as it is after this move

Who compares a branch with the champion takes the number of the last move along. The next number is written by
a conditional put, of which one succeeds: whoever comes second compares anew. Only then is MLflow told. A
process that was stopped before it told MLflow, and goes on when another has moved, finds the newer number,
puts those aliases back, and compares anew. A lease keeps all that from happening often.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress

from components.lib.core.errors import MissingError, ServiceError
from components.lib.core.failpoints import reach
from components.lib.registry.registered_models import ANCHOR, CHAMPION, PREVIOUS, Registered, Registry
from components.lib.storage.artifacts import sha256
from components.lib.storage.lease import Lease
from components.lib.storage.objects import Objects

MOVE = "move.{:06d}.json"


class Moves:
    """The moves of the aliases of one model.

    Attributes:
        seen: the number of the last one, when this object was made; 0 if there was none.
    """

    def __init__(self, objects: Objects, name: str) -> None:
        self._objects, self._name = objects, name
        self.seen = self._last()

    def make(self, registry: Registry, to: Mapping[str, Registered]) -> None:
        """Moves aliases, in this order; what is where it should be already is no move.

        Raises:
            ServiceError: retriable, if somebody else has moved them since `seen`.
        """
        held = {alias: registry.find(self._name, alias) for alias in (ANCHOR, PREVIOUS, CHAMPION)}
        after = {alias: one.version for alias, one in {**held, **to}.items() if one is not None}
        if after == {alias: one.version for alias, one in held.items() if one is not None}:
            self._tell(registry, to)  # whoever made the move may have been killed before its tags were set
            return
        mine, text = self.seen + 1, json.dumps(after).encode()
        if self._last() > self.seen or not self._objects.write(self._key(mine), text, if_absent=True):
            raise self._late()
        for number in self._numbers():
            if number < mine:
                self._objects.delete(self._key(number))
        self.seen = mine
        reach("promotion.moving")
        try:
            self._tell(registry, to)
        finally:
            beaten = self._restored(registry)
        if beaten:
            raise self._late()

    def _restored(self, registry: Registry) -> bool:
        """Whether another has moved them since; then they are put back as that move left them."""
        while (last := self._last()) > self.seen:
            with suppress(MissingError):  # a third one has moved them by now
                after = json.loads(self._objects.read(self._key(last)))
                versions = {one.version: one for one in registry.of(self._name)}
                self._tell(registry, {alias: versions[to] for alias, to in after.items() if to in versions})
                return True
        return False

    def _tell(self, registry: Registry, to: Mapping[str, Registered]) -> None:
        for alias, version in to.items():
            registry.set_alias(version, alias)

    def _late(self) -> ServiceError:
        return ServiceError("the champion changed while it was compared with", where=f"{self._name}@champion")

    def _last(self) -> int:
        return max(self._numbers(), default=0)

    def _numbers(self) -> list[int]:
        keys = self._objects.keys(f"{_prefix(self._name)}/{MOVE.partition('{')[0]}")
        return [int(key.split(".")[-2]) for key in keys if key.endswith(".json")]

    def _key(self, number: int) -> str:
        return f"{_prefix(self._name)}/{MOVE.format(number)}"


def promote(
    registry: Registry,
    moves: Moves,
    version: Registered,
    *,
    expected: Registered | None,
    better: bool | None = None,
) -> None:
    """Moves `champion` to `version`, `previous` to the one before; repeating it changes nothing.

    `champion` last: whoever is killed in between has lost nothing.

    Args:
        expected: the champion with which it was compared.
        better: whether it is shown to be better than the anchor, which then moves; the anchor is set where
            there is none, to the champion before. None: a model without an anchor.

    Raises:
        ServiceError: retriable, if the champion is another one.
    """
    before = registry.find(version.name, CHAMPION)
    at = before.version if before else "no champion"
    if before is not None and at not in (version.version, expected.version if expected else ""):
        what, place = "the champion changed while it was compared with", f"{version.name}@{CHAMPION}"
        raise ServiceError(what, where=place, found=at, expected=expected.version if expected else "none")
    to: dict[str, Registered] = {}
    if better or (better is False and registry.find(version.name, ANCHOR) is None):
        to[ANCHOR] = version if better else before or version
    if before is not None and at != version.version:
        to[PREVIOUS] = before
    moves.make(registry, {**to, CHAMPION: version})


@contextmanager
def locked(
    objects: Objects, models: Sequence[str], owner: str, tell: Callable[[str], None]
) -> Iterator[None]:
    """Keeps others on this store from moving aliases of these models; waits for those that do.

    Args:
        owner: who moves them, such as the id of a run.
        tell: gets one line a holder that is waited for.
    """

    def waits(holder: str) -> None:
        tell(f"run {holder} promotes the same model: this one waits until it is done")

    with ExitStack() as stack:
        for model in sorted(set(models)):  # in one order, so that no two wait for each other
            lease = Lease(objects, _prefix(model), owner)
            lease.wait(lambda: False, waits)
            stack.enter_context(lease.kept())
        yield


def _prefix(model: str) -> str:
    return f"aliases/{sha256(model.encode())[:32]}"
