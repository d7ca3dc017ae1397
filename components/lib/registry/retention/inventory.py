"""Inventory of the store: outputs, hidden outputs, orphaned files, checkpoints, ledgers."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from components.lib.core.errors import DataError, IntegrityError, MissingError
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.lineage import REFERENCE
from components.lib.storage.objects import Entry, Objects

CONDEMNED = "condemned"
_OUTPUT = r"[a-z][a-z0-9_-]*/[0-9a-f]{32}"  # stage/key: a place
MANIFEST = re.compile(rf"(?P<place>{_OUTPUT})/manifest\.json")
ATTEMPT = re.compile(rf"(?P<folder>{_OUTPUT}/[0-9a-f]{{12}})/.+")
HIDDEN = re.compile(rf"{CONDEMNED}/(?P<folder>{_OUTPUT}/[0-9a-f]{{12}})\.json")
CHECKPOINT = re.compile(rf"(?P<folder>checkpoints/{_OUTPUT}|(launches|aliases)/[0-9a-f]{{32}})/.+")
RECORD = re.compile(r"runs/(?P<run>[^/]+)/[^/]+\.json")
HANDED = re.compile(r"(?P<folder>runs/([^/]+/settings\.[a-z]+\.\d+|probe-[0-9a-f]{32}))")
HISTORY = re.compile(r"runs/(index|[^/]+/report)\.html")  # which, with the records, is kept for good


@dataclass
class Output:
    """A manifest in the store.

    Attributes:
        folder: where its files are, `stage/key/attempt`.
        modified: when it was committed, or hidden.
        text: the manifest as it stands there.
    """

    place: str
    folder: str
    modified: float
    text: bytes
    manifest: Manifest


@dataclass
class Files:
    """Objects under one prefix."""

    bytes: int = 0
    newest: float = 0.0
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Counts one more."""
        self.sizes[entry.key] = entry.bytes
        self.bytes += entry.bytes
        self.newest = max(self.newest, entry.modified)


@dataclass
class Run:
    """A run's ledger: when it was written to, and what it names."""

    id: str
    oldest: float = float("inf")
    newest: float = 0.0
    ended: bool = False
    outputs: set[str] = field(default_factory=set)


@dataclass
class Inventory:
    """Everything that the collector may look at; other objects are not its business.

    Attributes:
        outputs: by place.
        hidden: by folder.
        files: of each attempt, by folder; whether a manifest names them or not.
        checkpoints: by folder; what a launcher tells its processes, leases and moves of aliases; settings
            that a run handed on by way of the store, by key.
    """

    outputs: dict[str, Output] = field(default_factory=dict)
    hidden: dict[str, Output] = field(default_factory=dict)
    files: dict[str, Files] = field(default_factory=lambda: defaultdict(Files))
    checkpoints: dict[str, Files] = field(default_factory=lambda: defaultdict(Files))
    runs: dict[str, Run] = field(default_factory=dict)


def survey(objects: Objects) -> Inventory:
    """Looks at every object.

    Raises:
        DataError, IntegrityError: if a manifest or a ledger cannot be trusted.
    """
    found = Inventory()
    for entry in list(objects.entries("")):
        if match := MANIFEST.fullmatch(entry.key):
            if output := _output(objects, entry, match["place"]):
                found.outputs[output.place] = output
        elif match := HIDDEN.fullmatch(entry.key):
            if output := _output(objects, entry, match["folder"].rpartition("/")[0]):
                found.hidden[output.folder] = output
        elif match := ATTEMPT.fullmatch(entry.key):
            found.files[match["folder"]].add(entry)
        elif match := CHECKPOINT.fullmatch(entry.key) or HANDED.fullmatch(entry.key):
            found.checkpoints[match["folder"]].add(entry)
        elif match := RECORD.fullmatch(entry.key):
            _note(objects, entry, found.runs.setdefault(match["run"], Run(match["run"])))
    return found


def owned(key: str) -> bool:
    """Whether an object is of the collector: it deletes it some day, or keeps it for good."""
    kinds = (MANIFEST, HIDDEN, ATTEMPT, CHECKPOINT, RECORD, HANDED, HISTORY)
    return any(kind.fullmatch(key) for kind in kinds)


def _output(objects: Objects, entry: Entry, place: str) -> Output | None:
    """The output that a manifest describes; None if another collector moved it since it was listed."""
    where = f"{objects.uri}/{entry.key}"
    try:
        text = objects.read(entry.key)
    except MissingError:
        return None
    manifest = artifacts.parse(text, where)
    if f"{manifest.key.stage}/{manifest.key.digest}" != place or not ATTEMPT.fullmatch(f"{manifest.uri}/x"):
        raise _wrong(where, manifest.uri, place)
    if manifest.uri.rpartition("/")[0] != place:
        raise _wrong(where, manifest.uri, place)
    return Output(place, manifest.uri, entry.modified, text, manifest)


def _wrong(where: str, found: str, place: str) -> IntegrityError:
    what, expected = "a manifest is not that of its place", f"{place}/<attempt>"
    fix = "restore it from a backup, or delete it if nothing registered was made from it"
    return IntegrityError(what, where=where, found=found, expected=expected, fix=fix)


def _note(objects: Objects, entry: Entry, run: Run) -> None:
    """Adds a ledger's record to its run."""
    where = f"{objects.uri}/{entry.key}"
    run.oldest, run.newest = min(run.oldest, entry.modified), max(run.newest, entry.modified)
    run.ended |= entry.key.endswith("/exit.json")
    try:
        run.outputs |= set(references(json.loads(objects.read(entry.key))))
    except ValueError as error:
        fix = "restore it from a backup, or delete it if its run is not needed any more"
        raise DataError("a run's record cannot be read", where=where, found=f"{error}", fix=fix) from error


def references(value: Any) -> Iterator[str]:
    """Places of the outputs that JSON names, wherever in it they stand."""
    if isinstance(value, str):
        if match := REFERENCE.fullmatch(value):
            yield match["place"]
    elif isinstance(value, dict):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from references(inner)
