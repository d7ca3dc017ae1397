"""Texts longer than a row of tokens, as examples of several overlapping windows each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from components.lib.engine.randomness import Draw, Ints
from components.lib.modalities.text.examples import Examples, Padded

LONGEST = 200_000  # characters of a text that are read
STRIDE = 0.5  # of a window, from one to the next


@dataclass(frozen=True)
class Windows:
    """Examples and their windows.

    Attributes:
        rows: the windows of all examples.
        first, many: (n,) of each example its first window among `rows`, and how many it has.
    """

    SHARED: ClassVar[tuple[str, ...]] = ("rows",)  # attributes that have no entry for each example

    rows: Examples
    first: Ints
    many: Ints

    def __len__(self) -> int:
        return len(self.many)

    def subset(self, chosen: Sequence[int] | Ints) -> Self:
        """The examples at these places, in this order; the windows are shared."""
        columns: dict[str, Any] = {}
        for name in (field.name for field in fields(self) if field.name not in self.SHARED):
            column = getattr(self, name)
            columns[name] = (
                column[np.asarray(chosen, np.int64)]
                if isinstance(column, np.ndarray)
                else [column[place] for place in chosen]
            )
        return replace(self, **columns)

    def batches(self, size: int) -> list[Ints]:
        """Places of examples in batches of similar length."""
        order = np.argsort(self.many, kind="stable")
        return [order[at : at + size] for at in range(0, len(order), size)]

    def windows(self) -> tuple[Examples, Ints]:
        """The windows of these examples, one example after the other, and their places among `rows`."""
        places = np.concatenate([np.arange(a, a + b) for a, b in zip(self.first, self.many, strict=True)])
        return self.rows.subset(places), places

    def drawn(self, draw: Draw) -> Padded:
        """One window an example."""
        shift = np.floor(draw.uniform("window")[:, 0] * self.many[draw.ids]).astype(np.int64)
        return self.rows.batch(self.first[draw.ids] + shift)


def starts(length: int, room: int) -> Ints:
    """Where windows of `room` tokens begin in a text of `length`, so that each token is in one."""
    step = max(1, int(room * STRIDE))
    return np.arange(0, max(1, length - room + step), step)
