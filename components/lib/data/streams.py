"""Streams of input files and members of archives, decompressed within limits against bombs.

Nothing is unpacked to a path that an archive names, so neither links nor '..' in it can do harm. What
expands beyond `Limits` is refused while it is read (a decompression bomb).
"""

from __future__ import annotations

import errno
import fnmatch
import gzip
import io
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from components.lib.core.errors import DataError, MissingError
from components.lib.data.listing import EMPTY, SPECIAL, PassedOver, no_data

COMPRESSIONS = (".gz", ".gzip", ".zst", ".zstd")
ZIPS, TARS = (".zip", ".whl"), (".tar", ".tgz", ".tar.gz", ".tar.zst", ".tar.gzip", ".tar.zstd")
ARCHIVES = (*ZIPS, *TARS[:2])  # by the ending that is left when the compression's is cut
POINTER = b"version https://git-lfs.github.com/spec/"  # the beginning of what stands for a file of Git LFS
ALTERNATIVE = "|"  # between patterns of members
ZIPPED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2)  # LZMA has no ceiling of memory there
# NotImplementedError: of a member that asks for a later version of ZIP
BROKEN = (EOFError, OSError, NotImplementedError, zlib.error, zipfile.BadZipFile, tarfile.TarError)


@dataclass(frozen=True)
class Limits:
    """How far compressed input may expand.

    Attributes:
        ratio: decompressed bytes for each compressed one; text stays far below.
        floor: bytes that are let through whatever the ratio.
        total: bytes of one decompressed file, whatever its ratio.
    """

    ratio: int = 200
    floor: int = 64 << 20
    total: int = 1 << 40

    def most(self, compressed: int) -> int:
        """Bytes that so many compressed ones may become."""
        return min(self.total, max(self.floor, self.ratio * compressed))


@dataclass
class Tally:
    """What was cut out of a stream, counted by whoever cuts it: the parser behind may swallow some.

    Attributes:
        unit: what is counted: lines, rows, members or records.
        read: of them, in all.
        blank: of them, that hold nothing.
        header: of them, that name or describe and are not data.
        notes: what was guessed of the file or left out of it, each in one sentence.
    """

    unit: str = "records"
    read: int = 0
    blank: int = 0
    header: int = 0
    notes: list[str] = field(default_factory=list)


@dataclass
class Stream:
    """One file's bytes, to be read once and in order.

    Attributes:
        name: how the file is called in error messages and in the `source` column.
        file: a binary file, decompressed.
        suffix: the file's ending without the compression's, in lower case ('.jsonl' of 'a.jsonl.gz').
        tally: what was cut out of it so far.
        member: its name inside an archive; '' if it is a file of its own.
        passed: gets what of it is not data.
        wanted: the fields that are asked for; empty: all.
    """

    name: str
    file: BinaryIO
    suffix: str
    tally: Tally = field(default_factory=Tally)
    member: str = ""
    passed: PassedOver = field(default_factory=PassedOver)
    wanted: tuple[str, ...] = ()

    def seekable(self) -> BinaryIO:
        """The same bytes where a format needs to jump; copies to a temporary file if it must."""
        if isinstance(getattr(self.file, "raw", None), io.FileIO):
            return self.file
        spool = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the caller's reader
        with explained(self.name):
            shutil.copyfileobj(self.file, spool, 1 << 20)
        spool.seek(0)
        return cast(BinaryIO, spool)


def streams(
    path: Path,
    name: str,
    member: str = "",
    limits: Limits | None = None,
    *,
    whole: bool = False,
    passed: PassedOver | None = None,
) -> Generator[Stream, None, None]:
    """Every stream in the local file `path`: one, or one a member of an archive.

    Args:
        path: the local file.
        name: what the file is called in messages; its ending tells the compression.
        member: which members of an archive, as a glob; all of them if empty.
        limits: how far the content may expand; the defaults of `Limits` if None.
        whole: gives an archive as one stream, decompressed.
        passed: gets the members that are not data by their names or kinds.

    Raises:
        DataError: if the container is broken or expands too far.
        MissingError: if no member matches.
    """
    limits, passed = limits or Limits(), PassedOver() if passed is None else passed
    zipped, tarred = name.lower().endswith(ZIPS), name.lower().endswith(TARS)
    if member and not (zipped or tarred):
        raise DataError("only an archive has members", where=name, expected=", ".join(ARCHIVES))
    if whole or not (zipped or tarred):
        with explained(name), path.open("rb") as file:
            plain = _decompressed(file, _spelled(name), path.stat().st_size, limits)
            yield Stream(name, plain, suffix(name), passed=passed)
        return
    empty = True
    for stream in (_zip_members if zipped else _tar_members)(path, name, member or "*", limits, passed):
        empty = False
        yield stream
    if empty:
        found = member or (f"passed over: {passed}" if passed.counts else "no files at all")
        raise MissingError("the archive has no such member", where=name, found=found)


def _matches(name: str, pattern: str) -> bool:
    return any(fnmatch.fnmatchcase(name, one) for one in pattern.split(ALTERNATIVE))


def _left_out(member: str, size: int, pattern: str, where: str, passed: PassedOver) -> bool:
    """Whether a member is not data; then it is counted."""
    why = no_data(member, "" if pattern == "*" else pattern) or ("" if size else EMPTY)
    if why:
        passed.add(why, where)
    return bool(why)


def suffix(name: str) -> str:
    """The ending that tells the format: '.jsonl' of 'a/b.jsonl.gz', '.idx3-ubyte' of 'images-idx3-ubyte'."""
    lower = name.lower().rpartition("/")[2]
    for ending in COMPRESSIONS:
        lower = lower.removesuffix(ending)
    if lower.endswith("-ubyte"):  # of IDX: train-images-idx3-ubyte, train-images.idx3-ubyte
        return f".{lower[-len('idx3-ubyte') :]}"
    return f".{lower.rpartition('.')[2]}" if "." in lower else ""


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turns the errors of the decompressors into a DataError that names the file."""
    try:
        yield
    except BROKEN as error:
        if isinstance(error, OSError) and error.errno not in (
            None,
            errno.EINVAL,
        ):  # of a seek to a false place
            raise
        what, fix = (
            "a compressed file is broken or cut short",
            "restore the file or leave it out of the source",
        )
        if "emory" in str(error):  # of zstd, which stops at a window of 128 MiB by itself
            what = "a compressed file asks for too much memory: it may be a decompression bomb"
            fix = "write it with a window of at most 128 MiB if you trust it"
        raise DataError(what, where=name, found=str(error), fix=fix) from error


def _zip_members(path: Path, name: str, pattern: str, limits: Limits, passed: PassedOver) -> Iterator[Stream]:
    with explained(name), zipfile.ZipFile(path) as archive:
        chosen = [info for info in archive.infolist() if _matches(info.filename, pattern)]
        size, most = sum(info.file_size for info in chosen), limits.most(path.stat().st_size)
        if size > most:  # members may share their bytes
            what = "an archive expands too far: it may be a decompression bomb"
            raise DataError(what, where=name, found=f"{size:,} bytes", expected=f"at most {most:,} bytes")
        for info in sorted(chosen, key=lambda info: info.filename):
            if info.is_dir():
                continue
            inner = f"{name}!/{info.filename}"
            if _left_out(info.filename, info.file_size, pattern, inner, passed):
                continue
            if info.flag_bits & 1:
                fix = "decrypt the archive, or leave it out of the source"
                raise DataError("a member of an archive is encrypted", where=inner, fix=fix)
            if info.compress_type not in ZIPPED:
                what, found = "a member of an archive is compressed in an unusual way", info.compress_type
                expected, fix = "deflate, bzip2 or none", "write the archive anew"
                raise DataError(what, where=inner, found=f"method {found}", expected=expected, fix=fix)
            with archive.open(info) as file:
                raw = _Limited(file, inner, info.compress_size, limits)
                file_ = _nested(raw, inner, info.compress_size, limits)
                yield Stream(inner, file_, suffix(inner), member=info.filename)


def _tar_members(path: Path, name: str, pattern: str, limits: Limits, passed: PassedOver) -> Iterator[Stream]:
    size = path.stat().st_size
    with explained(name), path.open("rb") as file:
        plain = _decompressed(file, _spelled(name), size, limits)
        with tarfile.open(fileobj=plain, mode="r|") as archive:
            for info in archive:
                if info.isdir() or not _matches(info.name, pattern):
                    continue
                inner = f"{name}!/{info.name}"
                if not info.isfile():
                    passed.add(SPECIAL, inner)
                    continue
                if _left_out(info.name, info.size, pattern, inner, passed):
                    continue
                member = archive.extractfile(info)
                assert member is not None
                yield Stream(
                    inner, _nested(member, inner, info.size, limits), suffix(inner), member=info.name
                )


def _spelled(name: str) -> str:
    """The name with its compression spelt out."""
    return f"{name[:-4]}.tar.gz" if name.lower().endswith(".tgz") else name


def _nested(file: Any, name: str, size: int, limits: Limits) -> BinaryIO:
    return _decompressed(cast(BinaryIO, io.BufferedReader(file)), name, size, limits)


def _decompressed(file: BinaryIO, name: str, size: int, limits: Limits) -> BinaryIO:
    lower = name.lower()
    plain: IO[bytes]
    peek = getattr(file, "peek", None)
    if peek is not None and peek(len(POINTER)).startswith((b"PAR1", POINTER)):  # PAR1: compressed inside
        return file
    if lower.endswith((".gz", ".gzip")):
        plain = cast(IO[bytes], gzip.GzipFile(fileobj=file))
    elif lower.endswith((".zst", ".zstd")):
        import pyarrow as pa

        plain = cast(IO[bytes], pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"))
    else:
        return file
    return cast(BinaryIO, io.BufferedReader(_Limited(plain, name, size, limits), 1 << 18))


class _Limited(io.RawIOBase):
    """Counts what a decompressor gives and stops it at the limit."""

    def __init__(self, source: IO[bytes], name: str, compressed: int, limits: Limits) -> None:
        self._source, self._name = source, name
        self._most = limits.most(compressed)
        self._compressed, self._given = compressed, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with explained(self._name):
            data = self._source.read(len(buffer))
        self._given += len(data)
        if self._given > self._most:
            what = "a compressed file expands too far: it may be a decompression bomb"
            found = f"{self._compressed:,} bytes became more than {self._most:,}"
            expected = "at most 200 bytes for each compressed one, and 1 TiB in all"
            fix = "decompress the file yourself if you trust it"
            raise DataError(what, where=self._name, found=found, expected=expected, fix=fix)
        buffer[: len(data)] = data
        return len(data)
