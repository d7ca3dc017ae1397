"""Verdicts on slices, in a sentence: which are worse, which are not, and of which nobody can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

VERDICTS = ("worse", "may be worse", "cannot tell", "not worse")  # what a reader looks for first
SHOWN = 3  # slices of a kind that a sentence names


@dataclass(frozen=True)
class Judged:
    """A slice of an evaluation with its verdict.

    Attributes:
        row: of the evaluation's `slices`.
        verdict: one of VERDICTS.
        p: what the verdict rests on; None where the metric is not defined.
        needed: examples that would show an equal model not to be worse.
    """

    row: Mapping[str, Any]
    verdict: str
    p: float | None = None
    needed: int | None = None

    @property
    def name(self) -> str:
        """Field and value."""
        return f"{self.row['field']} = {self.row['value']}"

    @property
    def numbers(self) -> dict[str, Any]:
        """For the decision's JSON."""
        row = {name: self.row[name] for name in ("field", "value", "examples")}
        return row | {"verdict": self.verdict, "p": self.p, "examples_needed": self.needed}


def told(found: Sequence[Judged]) -> str:
    """How many slices have which verdict, and the first of them by name: those with most examples."""
    by_size = sorted(found, key=lambda one: -one.row["examples"])
    parts = []
    for verdict in VERDICTS:
        these = [one for one in by_size if one.verdict == verdict]
        if these:
            named = "" if verdict == "not worse" else f" ({_named(these)})"
            parts.append(f"{verdict}: {len(these)} of {len(found)} slices{named}")
    return "; ".join(parts)


def _named(these: Sequence[Judged]) -> str:
    names = [f"{one.name}: {one.row['examples']:,} examples{_could(one)}" for one in these[:SHOWN]]
    return ", ".join([*names, *(["..."] if len(these) > SHOWN else [])])


def _could(one: Judged) -> str:
    if one.verdict != "cannot tell" or not one.needed:
        return ""
    return f", {one.needed:,} could tell"
