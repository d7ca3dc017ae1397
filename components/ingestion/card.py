"""The data card: one page that says what the corpus is made of and what was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.ingestion.packs import COUNTED
from components.ingestion.statistics import Statistics
from components.lib.modalities import Words
from components.lib.pages import charts, ledger, page
from components.lib.pages.page import Figure

KINDS = 50  # values of a column that are listed
SOURCES = 200  # that are listed; statistics.json has them all
STEPS = {
    "exact_duplicate": "equal to an earlier {unit}",
    "near_duplicate": "nearly equal to another {unit}",
    "contaminated": "shares {identity} with an evaluation set",
    "contaminated_group": "its group is in an evaluation set",
}


def render(statistics: Statistics, modality: Any, passed_over: Mapping[str, Mapping[str, Any]]) -> str:
    """A self-contained page without scripts; everything that comes from the data is escaped.

    Args:
        passed_over: reason -> count and examples of what the sources hold besides data.
    """
    return page.render(
        "ingestion/card.html.j2",
        "Data card",
        lead="What the corpus is made of, and what was left out.",
        card=Card(statistics, modality.WORDS),
        passed_over=ledger.passed_over(passed_over),
        modality=modality,
        charts=charts,
    )


class Card:
    """Tiles and rows of the page's tables."""

    def __init__(self, statistics: Statistics, words: Words) -> None:
        self.statistics, self.words, self.units = statistics, words, f"{words.unit}s"

    @property
    def decides(self) -> str:
        """What of a document decides its split."""
        group = self.statistics.settings.get("group")
        return f"its group ({group})" if group else self.words.identity

    def tiles(self) -> list[Figure]:
        """Records read, kept, dropped, unreadable."""
        of, files = self.statistics, len(self.statistics.sources)
        kept = sum(of.documents.values())
        return [
            Figure("records read", of.read, f"from {files:,} file{'s' if files > 1 else ''}"),
            Figure(f"{self.units} kept", kept, f"{kept / max(of.read, 1):.1%} of the records", tone="good"),
            Figure(f"{self.units} dropped", sum(of.dropped.values())),
            Figure("unreadable records", of.quarantined, tone="warn" if of.quarantined else ""),
        ]

    def splits(self) -> list[tuple[object, ...]]:
        """Documents of each split, and their totals."""
        totals = self.statistics.totals.values()
        return [
            (name, n, *(total[name] for total in totals)) for name, n in self.statistics.documents.items()
        ]

    def kinds(self) -> list[tuple[str, list[tuple[str, int]], int]]:
        """Most frequent values of each column with their counts, and how many more values there are."""
        return [
            (name, sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:KINDS], len(counts) - KINDS)
            for name, counts in self.statistics.kinds.items()
        ]

    def left_out(self) -> list[tuple[object, ...]]:
        """Each rule, what it means, how many documents it cost."""
        words, of = self.words, self.statistics
        rules = [
            (name, STEPS.get(name, "quality rule").format(unit=words.unit, identity=words.identity), count)
            for name, count in of.dropped.items()
        ]
        if of.quarantined:
            rules.append(("quarantined", "could not be read", of.quarantined))
        return [(*rule, f"{rule[2] / max(of.read, 1):.2%}") for rule in rules]

    def account(self) -> list[tuple[object, ...]]:
        """Lines, rows, members or records that were cut out of the files, and what they are."""
        found = self.statistics.account.items()
        return [(unit, *(counts[name] for name in COUNTED)) for unit, counts in found]

    def notes(self) -> list[tuple[object, ...]]:
        """What was guessed of files or left out of them, of how many, and one of them."""
        notes = sorted(self.statistics.notes.items(), key=lambda item: -item[1]["streams"])
        return [(note, of["streams"], of["first"]) for note, of in notes[:KINDS]]

    def evaluations(self) -> list[list[object]]:
        """Each evaluation set, its documents, and how many of them stand in the sources."""
        found = self.statistics.evaluations
        return [[entry[name] for name in ("source", "documents", "found")] for entry in found]

    def sources(self) -> list[list[object]]:
        """Each file, its bytes, records and digest."""
        return [
            [
                *(entry[name] for name in ("name", "bytes", "read", "kept")),
                page.part("code", entry["sha256"][:12]),
            ]
            for entry in self.statistics.sources[:SOURCES]
        ]
