"""Account of a run: records read, kept, dropped by rule, quarantined, and files passed over; in one line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.data.formats import printable
from components.lib.data.listing import PassedOver
from components.lib.storage.stage import Context

NOTES = 5  # of what was guessed, that are told one by one
MUCH = 0.2  # share of the records above which what one rule drops is told as a warning
SETTINGS = {
    "exact_duplicate": "equal records are always kept once: see that the right field is read",
    "near_duplicate": "see ingestion.near_duplicates; 0 turns it off",
    "contaminated": "they stand in ingestion.decontaminate",
    "contaminated_group": "their groups stand in ingestion.decontaminate; see ingestion.group",
    "quarantined": "see ingestion.quarantine, and their reasons on the data card",
}


def of(facts: Mapping[str, Any], passed: PassedOver) -> dict[str, Any]:
    """What the ledger keeps of a corpus' facts, and of what its sources hold besides."""
    counts = {name: facts[name] for name in ("read", "dropped", "quarantined", "documents", "sources")}
    return {**counts, "kept": sum(facts["documents"].values()), "passed_over": passed.table}


def line(account: Mapping[str, Any]) -> str:
    """'read 60 records of 1 file: kept 9, dropped 50 (symbols 48, length 2), quarantined 1'."""
    files, dropped = account["sources"], sorted(account["dropped"].items(), key=lambda item: -item[1])
    rules = f" ({', '.join(f'{name} {count:,}' for name, count in dropped)})" if dropped else ""
    return (
        f"read {account['read']:,} records of {files:,} file{'s' if files != 1 else ''}: "
        f"kept {account['kept']:,}, dropped {sum(account['dropped'].values()):,}{rules}, "
        f"quarantined {account['quarantined']:,}"
    )


def tell_notes(context: Context, notes: Mapping[str, Mapping[str, Any]]) -> None:
    """Says what was guessed of files or left out of them; the most frequent first, the rest on the card."""
    most = sorted(notes, key=lambda note: -notes[note]["streams"])
    for note in most[:NOTES]:
        count, first = notes[note]["streams"], printable(notes[note]["first"])
        context.tell(f"{first}{f' and {count - 1:,} more' if count > 1 else ''}: {note}")
    if len(most) > NOTES:
        context.tell(f"{len(most) - NOTES:,} more such notes stand on the data card")


def tell(context: Context, facts: Mapping[str, Any], passed: PassedOver, modality: Any) -> None:
    """Prints the line, what was found of the data, and a warning of each rule that drops much."""
    context.account = account = of(facts, passed)
    print(f"{context.stage}: {line(account)}", flush=True)
    for rule, count in {**account["dropped"], "quarantined": account["quarantined"]}.items():
        if count > MUCH * account["read"]:
            how = SETTINGS.get(rule) or f"see {modality.setting_of(rule)}"
            share = count / account["read"]
            context.tell(
                f"WARNING: {rule} takes {count:,} of {account['read']:,} records ({share:.0%}): {how}"
            )
    for notice in facts.get("notices", ()):
        context.tell(notice)
