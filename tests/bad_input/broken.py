"""Files that are broken in the ways in which files break."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

import pyarrow as pa
from pyarrow import parquet

from tests.made.corpora import nonsense

GOOD = "".join(f"{text}\n" for text in nonsense(60, "a")).encode()
JSONL = b'{"text": "first, with a comma"}\n' * 2000


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def table(columns: dict[str, list[object]], **options: object) -> bytes:
    """A parquet file."""
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink, **options)
    return bytes(sink.getvalue().to_pybytes())


def flipped() -> bytes:
    """Parquet with one bit turned over in a page that has a checksum."""
    rows = {"text": [f"row {i}" for i in range(5000)]}
    data = bytearray(table(rows, compression="none", write_page_checksum=True, use_dictionary=False))
    data[2000] ^= 1
    return bytes(data)


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def encrypted() -> bytes:
    """A zip file whose member says that it needs a password."""
    data = bytearray(zipped({"a.txt": GOOD}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + place] |= 1
    return bytes(data)


def tarred(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)) * 400
FILES = {
    "cut gzip": gzip.compress(GOOD)[:-9],
    "cut zstd": zstd(JSONL)[:-20],
    "zip bomb": zipped({"a.txt": b"0" * (70 << 20)}),
    "gzip bomb": gzip.compress(((b"a" * 1023 + b" ") * 1024 + b"\n") * 70),
    "zstd bomb": zstd(b"0" * (70 << 20)),
    "parquet bomb": table({"text": ["x" * 1_000_000] * 100}, compression="zstd"),
    "cut parquet": table({"text": [f"row {i}" for i in range(5000)]})[:-100],
    "flipped parquet": flipped(),
    "null parquet": table({"text": [*nonsense(60, "a"), None]}),
    "encrypted zip": encrypted(),
    "strange zip": zipped({"a.docx": b"PK", "b.exe": b"MZ"}),
}


def exif(orientation: int | None = None) -> bytes:
    """EXIF whose maker's tag lies beyond its end; another tag says which way up the picture is."""
    entries = [] if orientation is None else [struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0)]
    entries += [struct.pack("<HHII", 0x10F, 2, 90_000, 60_000)]
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + b"\0\0\0\0"


def png(width: int, height: int, pixels: bytes, *, bits: int = 8, kind: int = 0) -> bytes:
    """A PNG file of these bytes, each row behind the number of its filter; whatever its head says."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
