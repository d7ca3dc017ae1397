"""xz streams with a ceiling for their dictionary: a few bytes can ask a decoder for 4 GB."""

from __future__ import annotations

import io
import lzma
from typing import Any, BinaryIO

MEMORY = 128 << 20  # bytes of a decoder; `xz -9` needs half of it
CHUNK = 1 << 16


class Reader(io.RawIOBase):
    """The content of a file of one or several xz streams; raises LZMAError and EOFError as `lzma` does."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._decoder: Any = None

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = b""
        while not data:
            if self._decoder is None or self._decoder.eof:
                rest = self._next()
                if not rest:
                    return b""
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
            else:
                rest = self._file.read(CHUNK) if self._decoder.needs_input else b""
                if self._decoder.needs_input and not rest:
                    raise EOFError("the file ends before the end of its stream")
            data = self._decoder.decompress(rest, size)
        return data

    def _next(self) -> bytes:
        """The beginning of the next stream, behind the padding between them."""
        rest: bytes = self._decoder.unused_data.lstrip(b"\0") if self._decoder else b""
        while not rest:
            chunk = self._file.read(CHUNK)
            if not chunk:
                return b""
            rest = chunk.lstrip(b"\0")
        return rest
