"""The data card: one page that says what the corpus is made of and what was left out."""

from __future__ import annotations

from typing import Any

from components.ingestion.statistics import Statistics
from components.lib import charts, report
from components.lib.markup import Html
from components.lib.report import Figure

ROWS = 200  # of the table of sources; statistics.json has them all
WORDS_OF_A_STEP = {
    "exact_duplicate": "equal to an earlier document",
    "near_duplicate": "nearly equal to another document",
    "contaminated": "shares its text with an evaluation set",
}


def render(statistics: Statistics) -> str:
    """A self-contained page without scripts; everything that comes from the data is escaped."""
    sections = [_counts(statistics), _dropped(statistics), _lengths(statistics)]
    if statistics.evaluations:
        sections.append(_evaluations(statistics))
    sections += [_samples(statistics), _sources(statistics)]
    return report.page("Data card", sections, lead="What the corpus is made of, and what was left out.")


def _counts(statistics: Statistics) -> Html:
    kept = sum(statistics.documents.values())
    share = f"{kept / max(statistics.read, 1):.1%} of the records"
    tiles = [
        Figure(
            "records read",
            statistics.read,
            f"from {len(statistics.sources):,} file{'s' if len(statistics.sources) > 1 else ''}",
        ),
        Figure("documents kept", kept, share, tone="good"),
        Figure("documents dropped", sum(statistics.dropped.values())),
        Figure("unreadable records", statistics.quarantined, tone="warn" if statistics.quarantined else ""),
    ]
    rows = [
        (name, statistics.documents[name], statistics.words[name], statistics.characters[name])
        for name in statistics.documents
    ]
    note = "A document's split is decided by a hash of its text and never changes as data grow."
    headers = ("split", "documents", "words", "characters")
    return report.section("Counts", report.figures(tiles), report.table(headers, rows), note=note)


def _dropped(statistics: Statistics) -> Html:
    rows: list[tuple[Any, ...]] = [
        (name, WORDS_OF_A_STEP.get(name, "quality rule"), count, f"{count / max(statistics.read, 1):.2%}")
        for name, count in statistics.dropped.items()
    ]
    if statistics.quarantined:
        share = f"{statistics.quarantined / max(statistics.read, 1):.2%}"
        rows.append(("quarantined", "could not be read", statistics.quarantined, share))
    note = "Each one stands with its place and its reason in dropped.parquet or quarantine.parquet."
    if statistics.altered:
        note += f" Control characters were removed from {statistics.altered:,} documents."
    headers = ("rule", "meaning", "documents", "share")
    return report.section("Left out", report.table(headers, rows), note=note)


def _lengths(statistics: Statistics) -> Html:
    drawn = [
        charts.histogram(f"Length in {unit}", bins["edges"], bins["counts"], f"{unit} of a document")
        for unit, bins in statistics.lengths.items()
    ]
    return report.section("Lengths of the documents", report.columns(*drawn), note="Bins double in width.")


def _evaluations(statistics: Statistics) -> Html:
    rows = [(entry["source"], entry["documents"], entry["found"]) for entry in statistics.evaluations]
    note = (
        "A document is left out if it equals an evaluation document, or if the two share "
        f"{statistics.settings['overlap']:.0%} of the runs of {statistics.settings['ngram']} words of either."
    )
    headers = ("evaluation set", "documents", "stand in the sources word for word")
    return report.section("Evaluation sets kept apart", report.table(headers, rows), note=note)


def _samples(statistics: Statistics) -> Html:
    content = [
        part
        for sample in statistics.samples
        for part in (report.paragraph(sample["source"], note=True), report.paragraph(sample["text"]))
    ]
    return report.section("Some documents", *content, note="Chosen by hash, cut at 600 characters.")


def _sources(statistics: Statistics) -> Html:
    rows = [
        (entry["name"], entry["bytes"], entry["read"], entry["kept"], report.code(entry["sha256"][:12]))
        for entry in statistics.sources[:ROWS]
    ]
    rest = len(statistics.sources) - ROWS
    note = f"{rest:,} more stand in statistics.json." if rest > 0 else ""
    headers = ("source", "bytes", "records", "kept", "sha256")
    return report.section("Sources", report.table(headers, rows), note=note)
