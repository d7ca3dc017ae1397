"""Local files: a path, a folder (with all below it) or a glob pattern."""

from __future__ import annotations

import difflib
import glob
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from stat import S_ISREG
from urllib.parse import unquote, urlsplit

from components.lib.core.errors import AccessError, DataError, MissingError
from components.lib.core.settings import did_you_mean
from components.lib.data.listing import CYCLE, DANGLING, SPECIAL, TWICE, Object, no_data


def find(uri: str) -> list[Object]:
    """Files, through links; what is not data among them is marked: hidden names, links that go in circles."""
    spelled = unquote(urlsplit(uri).path) if uri.startswith("file:") else uri
    path = os.path.expanduser(spelled)
    try:
        found = list(_listed(path))
    except PermissionError as error:
        fix = "give this user the right to read it"
        raise AccessError("a source may not be read", where=str(error.filename or path), fix=fix) from error
    if found or os.path.isdir(path):
        return found
    parent = os.path.dirname(path.rstrip("/")) or "."
    there = sorted(os.listdir(parent)) if os.path.isdir(parent) else []
    name = os.path.basename(path.rstrip("/"))
    near = difflib.get_close_matches(name, there, n=5) or there[:5]
    fix = did_you_mean(name, near) if there else f"'{parent}' does not exist or is empty"
    raise MissingError("a source does not exist", where=path, fix=fix)


def fetch(entry: Object, folder: Path) -> Path:
    """The file's own path; raises DataError if it changed since it was listed."""
    try:
        now = _object(entry.uri)
        with open(entry.uri, "rb"):
            pass
    except FileNotFoundError as error:
        raise MissingError("a source is gone", where=entry.uri) from error
    except PermissionError as error:
        fix = "give this user the right to read it"
        raise AccessError("a source may not be read", where=entry.uri, fix=fix) from error
    if now.identity != entry.identity:
        raise DataError("a source changed while it was read", where=entry.uri, fix="run again")
    return Path(entry.uri)


def _listed(path: str) -> Iterator[Object]:
    """What a path, or a pattern, names; a part of it that exists as it is spelled is not a pattern."""
    if os.path.isdir(path):
        yield from _below(path, set())
        return
    if os.path.exists(path):
        yield replace(_object(path), exact=True)
        return
    root, rest = "", path
    while (at := rest.find("/")) >= 0 and os.path.isdir((root + rest[: at + 1]) or "/"):
        root, rest = root + rest[: at + 1], rest[at + 1 :]
    seen: set[str] = set()
    for name in sorted(glob.glob(rest, root_dir=root or None, recursive=True)):
        why = no_data(name, rest)
        if why:
            yield Object(root + name, "", -1, "", passed=why)
        elif os.path.isdir(root + name):
            yield from _below(root + name.rstrip("/"), seen)
        else:
            yield _object(root + name)


def _below(folder: str, seen: set[str]) -> Iterator[Object]:
    """All files of a folder; of folders that links lead to, each once, after those that are there.

    Args:
        seen: real paths of the folders that were listed; those of this one are added.
    """
    waiting, links = deque([folder]), list[str]()
    while waiting or links:
        linked = not waiting
        place = links.pop() if linked else waiting.popleft()
        real = os.path.realpath(place)
        if linked and os.path.commonpath([os.path.realpath(os.path.dirname(place)), real]) == real:
            yield Object(place, "", -1, "", passed=CYCLE)
            continue
        if real in seen:
            if linked:
                yield Object(place, "", -1, "", passed=TWICE)
            continue
        seen.add(real)
        with os.scandir(place) as entries:
            for entry in entries:
                path, why = os.path.join(place, entry.name), no_data(entry.name)
                if why:
                    yield Object(path, "", -1, "", passed=why)
                elif entry.is_symlink() and os.path.isdir(path):
                    links.append(path)
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    yield _object(path)
        links.sort(reverse=True)


def _object(path: str) -> Object:
    name = os.fsencode(path).decode("utf-8", "backslashreplace")  # a name may be any bytes
    try:
        status = os.stat(path)
    except OSError as error:
        if not os.path.islink(path):
            raise
        return Object(name, str(error.errno), -1, "", passed=DANGLING)
    identity = f"{status.st_size}:{status.st_mtime_ns}"
    return Object(name, identity, status.st_size, path, passed="" if S_ISREG(status.st_mode) else SPECIAL)
