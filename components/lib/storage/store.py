"""Content-addressed store: outputs of stages under one URI, committed by a conditional put.

    <store>/<stage>/<key>/manifest.json         written last, by a conditional put: the commit
    <store>/<stage>/<key>/<attempt>/<file>      data; without a manifest it does not exist

Two writers of one key never touch each other's files: one manifest wins, the other writer reads the
winner's. In the store a manifest's `uri` is relative to the root, so that a store can be moved. Every file is
checked against its size and SHA-256 when it is opened.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.lib.core.errors import IntegrityError, MissingError, OutputError
from components.lib.core.failpoints import reach
from components.lib.storage import artifacts
from components.lib.storage.artifacts import File, Key, Manifest
from components.lib.storage.objects import Objects, connect

FETCHES = 3  # of a file that arrives damaged

_verified: set[tuple[str, int, int]] = set()  # (path, size, mtime_ns) that this process has hashed


class Store:
    """Opens committed outputs and starts drafts of new ones."""

    def __init__(self, uri: str, cache: Path | None = None) -> None:
        self.objects: Objects = connect(uri)
        self.cache = cache or Path(os.environ.get("TRUNKLINE_CACHE", "~/.cache/trunkline")).expanduser()

    @property
    def uri(self) -> str:
        """The root, with its scheme."""
        return self.objects.uri

    def find(self, key: Key) -> Manifest | None:
        """The committed output of `key`, or None."""
        return self.lookup(key.stage, key.digest)

    def resolve(self, reference: str) -> Manifest:
        """The manifest that a `Manifest.reference` names.

        Raises:
            MissingError: if this store does not hold it.
            IntegrityError: if it holds another output under that key.
        """
        place, _, digest = reference.partition("#")
        stage, _, key = place.partition("/")
        manifest = self.lookup(stage, key)
        if manifest is None:
            raise MissingError("the store does not hold an input", where=self.uri, found=reference)
        if manifest.digest != digest:
            raise IntegrityError(
                "an input was made anew", where=place, found=manifest.digest, expected=digest
            )
        return manifest

    def lookup(self, stage: str, key_digest: str) -> Manifest | None:
        """The committed output of a stage by its key's digest, or None."""
        name = f"{stage}/{key_digest}/manifest.json"
        try:
            manifest = artifacts.parse(self.objects.read(name), f"{self.uri}/{name}")
        except MissingError:
            return None
        return replace(manifest, uri=f"{self.uri}/{manifest.uri}")

    @contextmanager
    def draft(self, key: Key) -> Iterator[Draft]:
        """A new attempt at `key`; what it wrote to local scratch is gone afterwards."""
        attempt = f"{key.stage}/{key.digest}/{uuid.uuid4().hex[:12]}"
        in_place = self.objects.local(attempt)
        folder = in_place or Path(tempfile.mkdtemp(prefix="trunkline-"))
        folder.mkdir(parents=True, exist_ok=True)
        draft = Draft(self, key, attempt, folder)
        try:
            yield draft
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            free, fix = shutil.disk_usage(folder).free, "free space, or choose another store or TMPDIR"
            found = f"{free:,} bytes free"
            raise OutputError("the disk is full", where=str(folder), found=found, fix=fix) from error
        finally:
            if in_place is None or draft.committed is None or not draft.committed.uri.endswith(attempt):
                shutil.rmtree(folder, ignore_errors=True)

    def open(self, manifest: Manifest, name: str) -> Path:
        """A local path to one file of `manifest`, its size and SHA-256 checked.

        Raises:
            IntegrityError: if the bytes are not those that were committed.
            MissingError: if the manifest or the store lacks the file.
        """
        entry = manifest.file(name)
        if not manifest.uri.startswith(f"{self.uri}/"):  # the store was moved or is mounted elsewhere
            manifest = self.resolve(manifest.reference)
        key = f"{manifest.uri.removeprefix(f'{self.uri}/')}/{name}"
        path = self.objects.local(key)
        if path is None:
            path = self.cache / entry.sha256[:2] / entry.sha256 / Path(name).name
            self._fetch(key, path, entry)
        verify(path, entry)
        return path

    def open_folder(self, manifest: Manifest, prefix: str) -> Path:
        """A local folder that holds every file of `manifest` under `prefix`, each one checked."""
        names = manifest.names(prefix)
        paths = {name: self.open(manifest, name) for name in names}
        if not paths:
            raise MissingError(f"the manifest has no folder '{prefix}'", where=manifest.uri)
        if self.objects.local("") is not None:
            return _root(paths, prefix)
        target = self.cache / "folders" / manifest.digest / prefix
        for name, path in paths.items():
            link = target / name.removeprefix(prefix)
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                shutil.copyfile(path, link)
        return target

    def _fetch(self, key: str, target: Path, entry: File) -> None:
        """Copies an object to the cache; again, if it was damaged on its way or lies there damaged."""
        target.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(FETCHES):
            if target.exists() and intact(target, entry):
                return
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                self.objects.download(key, temporary)
                os.replace(temporary, target)
            finally:
                temporary.unlink(missing_ok=True)


class Draft:
    """An uncommitted output. Write into `folder`, `add` each file when it is whole, then `commit`.

    Attributes:
        folder: local scratch; large outputs add and forget one shard at a time.
        facts: what the manifest will state, whoever makes it and whenever.
        measured: what the manifest will tell of this making: seconds, rates.
    """

    def __init__(self, store: Store, key: Key, attempt: str, folder: Path) -> None:
        self.store, self.key, self.folder = store, key, folder
        self.facts: dict[str, Any] = {}
        self.measured: dict[str, Any] = {}
        self.committed: Manifest | None = None
        self._attempt = attempt
        self._files: dict[str, File] = {}
        self._start = time.monotonic()

    def add(self, name: str, rows: int = 0) -> None:
        """Publishes `folder/name`, which must not change any more."""
        path = self.folder / name
        self._files[name] = File(name, path.stat().st_size, artifacts.sha256_of(path), rows)
        self.store.objects.upload(path, f"{self._attempt}/{name}")
        reach("store.between_files")
        if self.store.objects.local(name) is None:
            path.unlink()

    def write(self, name: str, data: str | bytes, rows: int = 0) -> None:
        """Writes and publishes a small file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        self.add(name, rows)

    def part(self, name: str) -> Draft:
        """What of it a composed modality has the modality `name` fill, with files and facts of its own."""
        return _PartDraft(self, name)

    def commit(self) -> Manifest:
        """Makes the output exist. If another writer was first, returns theirs and drops this attempt."""
        self.measured.setdefault("seconds", round(time.monotonic() - self._start, 3))
        files = tuple(self._files[name] for name in sorted(self._files))
        manifest = Manifest(self.key, self._attempt, files, self.facts, self.measured)
        name = f"{self.key.stage}/{self.key.digest}/manifest.json"
        reach("store.before_commit")
        won = self.store.objects.write(name, manifest.to_json().encode(), if_absent=True)
        reach("store.after_commit")
        if not won:
            for entry in files:
                self.store.objects.delete(f"{self._attempt}/{entry.name}")
        self.committed = self.store.find(self.key)
        assert self.committed is not None
        return self.committed


class _PartDraft(Draft):
    """A folder of another draft: `x` becomes `part/x` there, and `folder/x` becomes `folder/part/x`."""

    def __init__(self, whole: Draft, name: str) -> None:
        folder = whole.folder / name
        folder.mkdir(parents=True, exist_ok=True)
        super().__init__(whole.store, whole.key, f"{whole._attempt}/{name}", folder)
        self._whole, self._name = whole, name

    def add(self, name: str, rows: int = 0) -> None:
        """Publishes `folder/name` as a file of the whole."""
        place = (Path(name).parent / self._name / Path(name).name).as_posix()
        if place != f"{self._name}/{name}":
            (self._whole.folder / place).parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.folder / name, self._whole.folder / place)
        self._whole.add(place, rows)


def verify(path: Path, entry: File) -> None:
    """Checks a file's size and SHA-256, once a process for a file that does not change.

    Raises:
        IntegrityError: naming the file, what was committed and what is there.
        MissingError: if there is no such file.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise MissingError("a committed file is gone", where=str(path)) from error
    seen = (str(path), status.st_size, status.st_mtime_ns)
    if seen in _verified:
        return
    found = f"{status.st_size} bytes"
    if status.st_size == entry.bytes:
        found = artifacts.sha256_of(path)
    if found != entry.sha256:
        what, expected = "a file is not what was committed", f"{entry.bytes} bytes, sha256 {entry.sha256}"
        fix = "delete this output's manifest.json to make it anew, or restore the file"
        raise IntegrityError(what, where=str(path), found=found, expected=expected, fix=fix)
    _verified.add(seen)


def intact(path: Path, entry: File) -> bool:
    """Whether a file passes `verify`."""
    try:
        verify(path, entry)
    except IntegrityError:
        return False
    return True


def _root(paths: dict[str, Path], prefix: str) -> Path:
    name, path = next(iter(paths.items()))
    depth = len(Path(name.removeprefix(prefix)).parts)
    return path.parents[depth - 1]
