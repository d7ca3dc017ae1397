"""The data card: one page that says what the corpus is made of and what was left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from components.ingestion.statistics import Statistics
from components.lib.modalities import Words
from components.lib.pages import charts, page
from components.lib.pages.markup import Html
from components.lib.pages.page import Figure

KINDS = 50  # values of a column that are listed
ROWS = 200  # of the table of sources; statistics.json has them all
STEPS = {
    "exact_duplicate": "equal to an earlier {unit}",
    "near_duplicate": "nearly equal to another {unit}",
    "contaminated": "shares {identity} with an evaluation set",
}


def render(statistics: Statistics, modality: Any) -> str:
    """A self-contained page without scripts; everything that comes from the data is escaped."""
    words: Words = modality.WORDS
    sections = [_counts(statistics, words), _dropped(statistics, words), _lengths(statistics, words)]
    if statistics.evaluations:
        sections.append(_evaluations(statistics, words, modality.contaminated(statistics.settings)))
    sections += [modality.samples(statistics.samples), _sources(statistics)]
    return page.page("Data card", sections, lead="What the corpus is made of, and what was left out.")


def _counts(statistics: Statistics, words: Words) -> Html:
    kept = sum(statistics.documents.values())
    share = f"{kept / max(statistics.read, 1):.1%} of the records"
    tiles = [
        Figure(
            "records read",
            statistics.read,
            f"from {len(statistics.sources):,} file{'s' if len(statistics.sources) > 1 else ''}",
        ),
        Figure(f"{words.unit}s kept", kept, share, tone="good"),
        Figure(f"{words.unit}s dropped", sum(statistics.dropped.values())),
        Figure("unreadable records", statistics.quarantined, tone="warn" if statistics.quarantined else ""),
    ]
    totals = statistics.totals.values()
    rows = [(name, count, *(total[name] for total in totals)) for name, count in statistics.documents.items()]
    note = (
        f"{_a(words.unit)}'s split is decided by a hash of {words.identity} and never changes as data grow."
    )
    headers = ("split", f"{words.unit}s", *statistics.totals)
    return page.section(
        "Counts", page.figures(tiles), page.table(headers, rows), *_kinds(statistics, words), note=note
    )


def _kinds(statistics: Statistics, words: Words) -> Iterator[Html]:
    """How many documents have each value of a column, the most frequent first."""
    for name, counts in statistics.kinds.items():
        most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        yield page.table((name, f"{words.unit}s"), most[:KINDS])
        if len(most) > KINDS:
            yield page.paragraph(f"{len(most) - KINDS:,} more stand in statistics.json.", note=True)


def _dropped(statistics: Statistics, words: Words) -> Html:
    rows: list[tuple[Any, ...]] = [
        (name, _meaning(name, words), count, f"{count / max(statistics.read, 1):.2%}")
        for name, count in statistics.dropped.items()
    ]
    if statistics.quarantined:
        share = f"{statistics.quarantined / max(statistics.read, 1):.2%}"
        rows.append(("quarantined", "could not be read", statistics.quarantined, share))
    note = "Each one stands with its place and its reason in dropped.parquet or quarantine.parquet."
    if statistics.altered:
        note += f" {words.altered} {statistics.altered:,} {words.unit}s."
    headers = ("rule", "meaning", f"{words.unit}s", "share")
    return page.section("Left out", page.table(headers, rows), note=note)


def _meaning(name: str, words: Words) -> str:
    return STEPS.get(name, "quality rule").format(unit=words.unit, identity=words.identity)


def _lengths(statistics: Statistics, words: Words) -> Html:
    drawn = [
        charts.histogram(words.lengths[name][0], bins["edges"], bins["counts"], words.lengths[name][1])
        for name, bins in statistics.lengths.items()
    ]
    return page.section(words.spread, page.columns(*drawn), note="Bins double in width.")


def _evaluations(statistics: Statistics, words: Words, note: str) -> Html:
    rows = [(entry["source"], entry["documents"], entry["found"]) for entry in statistics.evaluations]
    headers = ("evaluation set", f"{words.unit}s", words.found)
    return page.section("Evaluation sets kept apart", page.table(headers, rows), note=note)


def _a(noun: str) -> str:
    """The noun at the beginning of a sentence, with its article."""
    return f"{'An' if noun[0] in 'aeiou' else 'A'} {noun}"


def _sources(statistics: Statistics) -> Html:
    rows = [
        (entry["name"], entry["bytes"], entry["read"], entry["kept"], page.code(entry["sha256"][:12]))
        for entry in statistics.sources[:ROWS]
    ]
    rest = len(statistics.sources) - ROWS
    note = f"{rest:,} more stand in statistics.json." if rest > 0 else ""
    headers = ("source", "bytes", "records", "kept", "sha256")
    return page.section("Sources", page.table(headers, rows), note=note)
