"""Local files: a path, a folder (with all below it) or a glob pattern."""

from __future__ import annotations

import difflib
import glob
import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from components.lib.core.errors import AccessError, DataError, MissingError
from components.lib.core.settings import did_you_mean
from components.lib.data.sources import Object


def find(uri: str) -> list[Object]:
    """Regular files; hidden ones (names that begin with a dot) are no data."""
    spelled = unquote(urlsplit(uri).path) if uri.startswith("file:") else uri
    path = os.path.expanduser(spelled)
    try:
        found = [_object(name) for name in _names(path) if os.path.isfile(name)]
    except PermissionError as error:
        fix = "give this user the right to read it"
        raise AccessError("a source may not be read", where=str(error.filename or path), fix=fix) from error
    if found:
        return found
    if os.path.isdir(path):
        fix = "hidden files, whose names begin with a dot, are no data"
        raise MissingError("the folder of a source holds no files", where=path, fix=fix)
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


def _names(path: str) -> list[str]:
    if os.path.exists(path):
        return _below(path) if os.path.isdir(path) else [path]
    found = glob.glob(path, recursive=True)
    return [name for match in found for name in (_below(match) if os.path.isdir(match) else [match])]


def _below(folder: str) -> list[str]:
    def refuse(error: OSError) -> None:
        raise error

    found = []
    for root, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(root, name) for name in files if not name.startswith(".")]
    return found


def _object(path: str) -> Object:
    status = os.stat(path)
    name = os.fsencode(path).decode("utf-8", "backslashreplace")  # a name may be any bytes
    return Object(name, f"{status.st_size}:{status.st_mtime_ns}", status.st_size, path)
