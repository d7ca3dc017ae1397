"""Object stores: one file a URI scheme. The file's name is the scheme."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast
from urllib.parse import urlsplit

from components.lib.core import addresses, plugins
from components.lib.core.errors import ConfigError, MissingError


@dataclass(frozen=True)
class Entry:
    """An object as a listing has it; `modified` is in seconds since 1970."""

    key: str
    bytes: int
    modified: float


class Objects(Protocol):
    """Flat keys under one root URI. Keys use '/' and never start with it."""

    uri: str

    def read(self, key: str) -> bytes:
        """The object's bytes; raises MissingError."""

    def write(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        """Writes whole or not at all. With `if_absent`, False means that somebody else was first."""

    def upload(self, source: Path, key: str) -> None:
        """Stores a local file under `key`."""

    def download(self, key: str, target: Path) -> None:
        """Copies the object to a local file; raises MissingError."""

    def entries(self, prefix: str) -> Iterator[Entry]:
        """Every object whose key starts with `prefix`, sorted by key."""

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys of `entries`."""
        return (entry.key for entry in self.entries(prefix))

    def delete(self, key: str) -> None:
        """Removes the object; no error if there is none."""

    def local(self, key: str) -> Path | None:
        """The object's own place on this machine's disk, or None where it has none."""


def connect(uri: str) -> Objects:
    """The objects under `uri`, which is a path, file://... or s3://bucket/prefix.

    Raises:
        ConfigError: if no store is named or the scheme is not one of the files in this folder.
    """
    if not uri:
        fix = "give the parameter `store` or set TRUNKLINE_STORE, to a folder or s3://bucket/prefix"
        raise ConfigError("no store is named", where="store", fix=fix)
    addresses.check(uri, "store", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use workload identity")
    scheme = urlsplit(uri).scheme or "file"
    if scheme not in plugins.names(__name__):
        known = ", ".join(f"{name}://" for name in plugins.names(__name__))
        raise ConfigError("the store's scheme is not supported", where="store", found=uri, expected=known)
    return cast(Objects, plugins.load(__name__, scheme).connect(uri))


def read_named(uri: str, where: str, expected: str) -> bytes:
    """The bytes of one file that the setting `where` names; raises ConfigError if it cannot be read."""
    folder, _, name = uri.rpartition("/")
    try:
        return connect(folder or ("/" if uri.startswith("/") else ".")).read(name)
    except (MissingError, OSError) as error:
        what, found = "a file that is named in the settings cannot be read", f"{uri}: {error}"
        raise ConfigError(what, where=where, found=found, expected=expected) from error
