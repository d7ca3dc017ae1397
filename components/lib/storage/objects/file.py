"""Objects in a folder of a local or mounted file system."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from components.lib.core.errors import AccessError, MissingError, OutputError
from components.lib.storage.objects import Entry, Objects


def connect(uri: str) -> FileObjects:
    """`uri` is a path or file:///absolute/path; the folder is made when first written to."""
    path = unquote(urlsplit(uri).path) if uri.startswith("file:") else uri
    return FileObjects(Path(path).expanduser().resolve())


class FileObjects(Objects):
    """A key is a path below the root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = root.as_uri()

    def read(self, key: str) -> bytes:
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError as error:
            raise MissingError("the store has no such object", where=f"{self.uri}/{key}") from error

    def write(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        target = self.root / key
        with _explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if not if_absent:
                    os.replace(temporary, target)
                    return True
                try:
                    os.link(temporary, target)  # atomic, and fails where os.replace would overwrite
                except FileExistsError:
                    return False
                return True
            finally:
                temporary.unlink(missing_ok=True)

    def upload(self, source: Path, key: str) -> None:
        target = self.root / key
        with _explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            if source != target:
                temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
                try:
                    shutil.copyfile(source, temporary)
                    os.replace(temporary, target)
                finally:
                    temporary.unlink(missing_ok=True)

    def download(self, key: str, target: Path) -> None:
        try:
            shutil.copyfile(self.root / key, target)
        except FileNotFoundError as error:
            raise MissingError("the store has no such object", where=f"{self.uri}/{key}") from error

    def entries(self, prefix: str) -> Iterator[Entry]:
        start = self.root / prefix
        folder = start if prefix.endswith("/") or not prefix else start.parent
        found = []
        for path in folder.rglob("*"):
            key = path.relative_to(self.root).as_posix()
            if path.name.startswith(".") or not key.startswith(prefix):
                continue
            with suppress(FileNotFoundError):  # deleted since it was listed
                status = path.stat()
                if stat.S_ISREG(status.st_mode):
                    found.append(Entry(key, status.st_size, status.st_mtime))
        yield from sorted(found, key=lambda entry: entry.key)

    def delete(self, key: str) -> None:
        (self.root / key).unlink(missing_ok=True)

    def local(self, key: str) -> Path | None:
        return self.root / key


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(_existing(target)).free
            found, fix = f"{free:,} bytes free", "free space or choose another store"
            raise OutputError(
                "the disk of the store is full", where=str(target), found=found, fix=fix
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            found, fix = error.strerror or "", "choose a folder that this user may write to"
            raise AccessError(
                "the store cannot be written", where=str(target), found=found, fix=fix
            ) from error
        raise OutputError("the store cannot be written", where=str(target), found=str(error)) from error


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)
