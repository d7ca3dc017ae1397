"""Steps for the tests of executors: pure functions of their items, some of which end their process."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

from components.lib.core.errors import DataError


class Doubling:
    """Twice the item, two results each; the first time that `deadly` comes, its process is killed."""

    def __init__(self, deadly: int = -1, mark: str = "") -> None:
        self.deadly, self.mark = deadly, Path(mark)

    def __call__(self, item: int) -> Iterator[int]:
        if item == self.deadly and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield from (2 * item, 2 * item)

    def close(self) -> None:
        pass


class Refusing(Doubling):
    """Refuses odd items."""

    def __call__(self, item: int) -> Iterator[int]:
        if item % 2:
            raise DataError("odd", where="here", found=item)
        yield item
