"""Listing rules: which files of a folder, a bucket or an archive are data; what is passed over, by reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXAMPLES = 3  # names that are shown of each reason

HIDDEN = "hidden files"  # names that begin with a dot
SYSTEM = "names that begin with '_'"  # _SUCCESS, _temporary, _delta_log: no data, as everywhere around Spark
MACOS = "files of __MACOSX"
EMPTY = "empty files"
DANGLING = "links that lead nowhere"
CYCLE = "links to a folder that they are in"
TWICE = "links to a folder that is read anyway"
SPECIAL = "links, devices or pipes"
UNKNOWN = "files of unknown endings"
DOCUMENTATION = "READMEs, licences and their like"
DESCRIPTION = "descriptions of a data set"
ANNOTATION = "annotations of images"

DOCUMENTS = re.compile(
    r"(readme|licen[sc]e|copying|notice|changelog|citation|code_of_conduct|contributing)([-_.][\w.-]*)?", re.I
)
PROSE = ("", ".md", ".txt", ".rst", ".text", ".cff", ".bib")
COLUMN = re.compile(r"([A-Za-z_][\w.-]*)=(.*)")  # a folder that names a column, as hive and Spark write them
DESCRIPTIONS = ("dataset_infos.json", "dataset_info.json", "dataset_dict.json", "croissant.json")


@dataclass(frozen=True)
class Object:
    """One file behind a source.

    Attributes:
        name: what it is called in `source` columns and in messages; stable, free of secrets.
        identity: changes when the content does; cheap to get: size and time of change, ETag, SHA-256.
        size: bytes, -1 if not known.
        uri: where its scheme fetches it.
        member: which members of an archive are meant, as a glob.
        exact: whether the source names this very file; then it is data whatever it is called.
        passed: why it is not data, one of the reasons of `listing`; '' if it is.
    """

    name: str
    identity: str
    size: int
    uri: str
    member: str = ""
    exact: bool = False
    passed: str = ""


@dataclass
class PassedOver:
    """What a listing leaves out: how many names for each reason, and the first of them."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, *names: str, count: int = 0) -> None:
        """Counts names, or `count` things of which these are some."""
        if not (names or count):
            return
        self.counts[reason] = self.counts.get(reason, 0) + (count or len(names))
        held = self.examples.setdefault(reason, [])
        for name in names[: EXAMPLES - len(held)]:
            held.append(name if name.isprintable() else name.encode("unicode_escape").decode())

    def merge(self, table: Mapping[str, Mapping[str, Any]]) -> None:
        """Adds what another one gave as `table`."""
        for reason, entry in table.items():
            self.add(reason, *entry["examples"], count=entry["count"])

    @property
    def table(self) -> dict[str, dict[str, Any]]:
        """Reason -> count and examples, as JSON types; the most frequent reason first."""
        order = sorted(self.counts, key=lambda reason: (-self.counts[reason], reason))
        return {reason: {"count": self.counts[reason], "examples": self.examples[reason]} for reason in order}

    def __str__(self) -> str:
        """'5: 4 hidden files (.a, .b, .c, ...); 1 empty files (d.txt)'."""
        parts = []
        for reason, entry in self.table.items():
            names = [name.rstrip("/").rpartition("/")[2] for name in entry["examples"]]
            names += ["..."] if entry["count"] > len(names) else []
            parts.append(f"{entry['count']:,} {reason} ({', '.join(names)})")
        return f"{sum(self.counts.values()):,}: {'; '.join(parts)}"


def no_data(name: str, pattern: str = "") -> str:
    """Why a path below a source, or in an archive, is not data by its name; '' if it is.

    Args:
        pattern: what the user asked for, if that is a pattern: a name that it spells out is data.
    """
    asked = {segment[:1] for segment in pattern.split("/")}
    for part in name.split("/"):
        if part in ("", ".", "..") or part[0] in asked:
            continue
        if part == "__MACOSX":
            return MACOS
        if part[0] == ".":
            return HIDDEN
        if part[0] == "_" and "=" not in part:  # '_x=1' is a column of a partitioned table
            return SYSTEM
    return ""


def is_documentation(name: str) -> bool:
    """Whether a file's name is that of a README, a LICENSE or their like, in prose."""
    name = name.rpartition("/")[2]
    _, dot, ending = name.rpartition(".")
    return DOCUMENTS.fullmatch(name) is not None and (f"{dot}{ending}" if dot else "").lower() in PROSE


def is_description(name: str) -> bool:
    """Whether a file describes a data set of the Hub, and holds no record of it."""
    return name.rpartition("/")[2].lower() in DESCRIPTIONS
