"""Hash partitions on disk: records of a fixed size dealt to files that are sorted one at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

MIXER = np.uint64(0x9E3779B97F4A7C15)
SHARE = 8  # parts of the memory: what is sorted is held several times meanwhile
MOST = 1 << 14  # files of one kind

Ints = npt.NDArray[np.int64]


class Partitions:
    """Files of records; those of one file keep the order in which they were added.

    Args:
        folder: is made.
        records: how many there will be at most, about.
        memory: bytes that adding, or a file of an even share, may take.

    Attributes:
        held: bytes that wait in memory.
    """

    def __init__(self, folder: Path, dtype: npt.DTypeLike, records: int, memory: int) -> None:
        folder.mkdir()
        self._folder, self.dtype, self._memory = folder, np.dtype(dtype), max(memory // SHARE, 1)
        self.bits = ((records * self.dtype.itemsize) // self._memory).bit_length()
        self.bits = min(self.bits, MOST.bit_length() - 1)
        self._held: list[tuple[npt.NDArray[Any], Ints]] = []
        self.held = 0

    def __len__(self) -> int:
        """Number of files: a power of two."""
        return 1 << self.bits

    def upper(self, hashes: npt.NDArray[np.uint64]) -> Ints:
        """The file of each hash by its first bits: files are in the order of their hashes."""
        shift = np.uint64(64 - self.bits)
        return (hashes >> shift).astype(np.int64) if self.bits else np.zeros(len(hashes), np.int64)

    def mixed(self, hashes: npt.NDArray[np.uint64]) -> Ints:
        """The file of each number, evenly also where the numbers are few or small."""
        return self.upper(hashes * MIXER)

    def add(self, records: npt.NDArray[Any], files: Ints) -> None:
        """Appends each record to its file."""
        self._held.append((records, files))
        self.held += records.nbytes + files.nbytes
        if self.held >= self._memory:
            self.flush()

    def chunks(self, file: int, size: int = 0) -> Iterator[npt.NDArray[Any]]:
        """The records of a file, in parts of so many bytes (0: an even share of the memory)."""
        self.flush()
        path, count = self._folder / str(file), max((size or 2 * self._memory) // self.dtype.itemsize, 1)
        if path.exists():
            with path.open("rb", buffering=0) as stream:
                while len(part := np.fromfile(stream, self.dtype, count)):
                    yield part

    def whole(self, file: int) -> npt.NDArray[Any]:
        """All records of a file."""
        return np.concatenate([np.empty(0, self.dtype), *self.chunks(file)])

    def drop(self, file: int) -> None:
        """Frees the space of a file that nobody reads again."""
        (self._folder / str(file)).unlink(missing_ok=True)

    def flush(self) -> None:
        """Writes what is held."""
        if not self._held:
            return
        files = np.concatenate([files for _, files in self._held])
        order = np.argsort(files, kind="stable")
        records = np.concatenate([records for records, _ in self._held])[order]
        self._held, self.held = [], 0
        bounds = np.flatnonzero(np.diff(files[order], prepend=-1, append=-1))
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            with (self._folder / str(files[order[start]])).open("ab", buffering=0) as stream:
                records[start:stop].tofile(stream)


class Table:
    """A file of rows of numbers that is appended to, then read at any rows; little of it is in memory.

    Args:
        memory: bytes up to which all of it is held once it is read.
    """

    def __init__(self, path: Path, dtype: npt.DTypeLike, width: int = 1, memory: int = 0) -> None:
        self._path, self._dtype, self._width, self._memory = path, np.dtype(dtype), width, memory
        self._bytes = self._dtype.itemsize * width
        self._stream = path.open("wb", buffering=0)
        self._whole: npt.NDArray[Any] | None = None
        self.count = 0

    def add(self, rows: npt.NDArray[Any]) -> None:
        """Appends (n, width) rows, or (n,) where the width is 1."""
        np.ascontiguousarray(rows, self._dtype).tofile(self._stream)
        self.count += len(rows)

    def take(self, places: Ints) -> npt.NDArray[Any]:
        """(places, width) the rows at these places."""
        if self._whole is None and self.count * self._bytes <= self._memory:
            self._whole = np.fromfile(self._path, self._dtype).reshape(-1, self._width)
        if self._whole is not None:
            return self._whole[places]
        rows = np.empty((len(places), self._width), self._dtype)
        flat: Any = rows.view(np.uint8).ravel()
        view, size = memoryview(flat), self._bytes
        with self._path.open("rb", buffering=0) as stream:
            number = stream.fileno()
            for at, place in enumerate(places.tolist()):
                os.preadv(number, [view[at * size : (at + 1) * size]], place * size)
        return rows

    def close(self) -> None:
        """Ends it."""
        self._stream.close()


def first_of_each(*keys: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Marks in sorted rows the first of those with equal keys."""
    first = np.ones(len(keys[0]), bool)
    if len(first):
        first[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return first
