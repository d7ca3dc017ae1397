"""Manifests: what stages hand over, files in the store by name, size and SHA-256."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from components.lib.core.errors import DataError, MissingError

FORMAT = 1


@dataclass(frozen=True)
class File:
    """One file of a manifest; `name` is relative to the manifest's `uri`."""

    name: str
    bytes: int
    sha256: str
    rows: int = 0


@dataclass(frozen=True)
class Key:
    """Content key: what decides a stage's output, its code version, its settings and its inputs.

    Attributes:
        inputs: name -> `Manifest.reference` of what the stage read.
    """

    stage: str
    version: int
    config: dict[str, Any]
    inputs: dict[str, str] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """32 hex digits (128 bits), the name of the output's folder in the store."""
        return sha256(canonical(asdict(self)))[:32]


@dataclass(frozen=True)
class Manifest:
    """A committed output of a stage.

    Attributes:
        uri: the folder of the files; not part of the identity, so that a store can be moved.
        facts: what is true of the output wherever and whenever it was made.
        measured: what a clock or this machine had a part in; not part of the identity.
    """

    key: Key
    uri: str
    files: tuple[File, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """SHA-256 of the identity: equal digests mean equal bytes."""
        identity = self._plain()
        del identity["uri"], identity["measured"]
        return sha256(canonical(identity))

    @property
    def reference(self) -> str:
        """`stage/key#digest`: what a later stage's key names as its input, and lineage follows."""
        return f"{self.key.stage}/{self.key.digest}#{self.digest}"

    def file(self, name: str) -> File:
        """The entry called `name`; raises MissingError that lists what there is."""
        for entry in self.files:
            if entry.name == name:
                return entry
        have = ", ".join(entry.name for entry in self.files)
        raise MissingError(f"the {self.key.stage} manifest has no file '{name}'", where=self.uri, found=have)

    def names(self, prefix: str = "", suffix: str = "") -> list[str]:
        """Names of files that start and end so, sorted."""
        found = (entry.name for entry in self.files)
        return sorted(name for name in found if name.startswith(prefix) and name.endswith(suffix))

    def part(self, name: str) -> Manifest:
        """What a composed modality keeps for the modality `name`: its files by their own names, its facts."""
        own = {inner: one for one in self.files if (inner := _without(one.name, name))}
        files = tuple(replace(one, name=inner) for inner, one in own.items())
        facts = {"modality": name, **self.facts.get(name, {})}
        return replace(self, uri=f"{self.uri}/{name}", files=files, facts=facts)

    def to_json(self) -> str:
        """The manifest as it stands in the store and in a KFP artifact."""
        return json.dumps({"format": FORMAT, **self._plain()}, indent=1, sort_keys=True)

    def _plain(self) -> dict[str, Any]:
        """A value as JSON types; facts of many thousand sources are not copied, as `asdict` would."""
        return {**vars(self), "key": vars(self.key), "files": [vars(file) for file in self.files]}

    def write(self, path: Path) -> None:
        """Writes the JSON to a file, making its folder."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json(), encoding="utf-8")


def _without(path: str, part: str) -> str:
    """The name within the folder `part`; '' if it is not in it."""
    return path.removeprefix(f"{part}/") if path.startswith(f"{part}/") else ""


def parse(text: str | bytes, where: str) -> Manifest:
    """Reads `Manifest.to_json()`; raises DataError if it is something else."""
    try:
        raw = json.loads(text)
        if raw.pop("format") != FORMAT:
            raise ValueError("another format")
        files = tuple(File(**entry) for entry in raw.pop("files"))
        return Manifest(key=Key(**raw.pop("key")), files=files, **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError("not a Trunkline manifest", where=where, found=f"{error!r}") from error


def read(path: Path) -> Manifest:
    """Reads a manifest file; raises MissingError or DataError."""
    if not path.is_file():
        raise MissingError("there is no manifest", where=str(path), fix="run the stage that makes it")
    return parse(path.read_bytes(), str(path))


def pass_on(reason: str, path: Path) -> None:
    """Writes, in place of a manifest, why there is none: the stages behind it have nothing to do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": FORMAT, "passed_on": reason}), encoding="utf-8")


def passed_on(path: Path) -> str:
    """What `pass_on` wrote to a file; empty if it holds a manifest, or anything else."""
    try:
        return str(json.loads(path.read_bytes())["passed_on"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256(data: bytes) -> str:
    """Hex digest of bytes."""
    return hashlib.sha256(data).hexdigest()


def sha256_of(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
