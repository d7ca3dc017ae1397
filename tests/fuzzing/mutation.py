"""Strategies of broken files: whole documents of each format, then changes that accidents make."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from components.lib.data.images import png
from tests.bad_input.broken import zipped

# What swallows its surroundings, ends them early, or is taken for something else.
TOKENS = (
    *(
        b'"',
        b'""',
        b"'",
        b"\\",
        b"\0",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b"\t",
        b",",
        b";",
        b"|",
        b"{",
        b"}",
        b"[",
    ),
    *(
        b"]",
        b":",
        b"\xff",
        b"\x80",
        b"\xc3",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"\xfe\xff",
        b"\xed\xa0\xbd",
        b"\x85",
    ),
    *(
        b"\\ud83d",
        b"\xe2\x80\xa8",
        b"\x1a",
        b"NaN",
        b"1e999",
        b"-0",
        b"null",
        b"sep=;\n",
        b"../../etc/passwd",
    ),
    *(b"9" * 400, b"\x00\x00\x00\x80", b"\xff\xff\xff\x7f", b"-DOCSTART-", b"<svg>", b"%PDF-", b"PK\x03\x04"),
)
WORDS = st.sampled_from(
    "the orbit of a planet räv größer мост 木 ภาษา 🙂 a,b semi;colon tab\there it's say-so 1.0 NaN".split(" ")
)
TEXTS = st.lists(WORDS, min_size=1, max_size=6).map(" ".join)
ROWS = st.lists(st.tuples(TEXTS, WORDS), min_size=1, max_size=8)
NUMBERS = st.integers(0, 2**31)


def _table(quoted: Callable[[str], str], separator: str) -> st.SearchStrategy[bytes]:
    def written(rows: list[tuple[str, str]]) -> bytes:
        lines = [separator.join(map(quoted, row)) for row in (("text", "label"), *rows)]
        return "".join(f"{line}\n" for line in lines).encode()

    return ROWS.map(written)


def _csv(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',;"\t') else text


def _objects(rows: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"text": text, "label": label} for text, label in rows]


def pixels(seed: int, count: int = 3, channels: int = 1, side: int = 8) -> np.ndarray:
    """(count, side, side[, channels]) of bytes."""
    shape = (count, side, side) if channels == 1 else (count, side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def _npz(seed: int) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, images=pixels(seed), labels=np.arange(3))
    return file.getvalue()


def _npy(seed: int) -> bytes:
    file = io.BytesIO()
    np.save(file, pixels(seed, channels=3))
    return file.getvalue()


def _parquet(rows: list[tuple[str, str]]) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(_objects(rows)), file)
    return file.getvalue()


def _image(seed: int) -> bytes:
    return png(pixels(seed, 1)[0][:, :, None])


def _tar(members: dict[str, bytes], mode: str = "w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def _shard(seed: int) -> dict[str, bytes]:
    names = ("a.jpg", "a.cls", "b.png", "b.json", "b.mask.png", "c.png", "c.txt", "__MACOSX/._c.png")
    contents = {"cls": b"cat\n", "json": b'{"caption": "two"}', "txt": "größer".encode()}
    return {name: contents.get(name.rpartition(".")[2], _image(seed)) for name in names}


LINES = ROWS.map(lambda rows: "".join(f"{text}\n" for text, _ in rows).encode())
JSONL = ROWS.map(lambda rows: "".join(f"{json.dumps(row)}\n" for row in _objects(rows)).encode())
SENTENCES = ROWS.map(
    lambda rows: "\n".join("".join(f"{w}\tO\n" for w in text.split()) for text, _ in rows).encode()
)
# kind of file -> its name, whole contents of it
WHOLE: dict[str, tuple[str, st.SearchStrategy[bytes]]] = {
    "txt": ("a.txt", LINES),
    "csv": ("a.csv", _table(_csv, ",")),
    "semicolons": ("b.csv", _table(_csv, ";")),
    "tsv": ("a.tsv", _table(lambda text: text.replace("\t", " "), "\t")),
    "tab": ("a.tab", _table(lambda text: text.replace("\t", " "), "\t")),
    "jsonl": ("a.jsonl", JSONL),
    "json": ("a.json", ROWS.map(lambda rows: json.dumps({"data": _objects(rows)}, indent=1).encode())),
    "conll": ("a.conll", SENTENCES),
    "parquet": ("a.parquet", ROWS.map(_parquet)),
    "gzip": ("a.jsonl.gz", JSONL.map(lambda data: gzip.compress(data, 1, mtime=0))),
    "zstd": ("a.jsonl.zst", JSONL.map(lambda data: pa.compress(data, "zstd", asbytes=True))),
    "zip": ("a.zip", LINES.map(lambda data: zipped({"x/a.txt": data, "__MACOSX/._a": b"\0", "b.txt": data}))),
    "tar": ("a.tar.gz", LINES.map(lambda data: _tar({"x/a.txt": data, "./._a.txt": b"\0\5"}, "w:gz"))),
    "npz": ("a.npz", NUMBERS.map(_npz)),
    "npy": ("a.npy", NUMBERS.map(_npy)),
    "idx": ("a.idx", NUMBERS.map(lambda n: struct.pack(">4B3I", 0, 0, 8, 3, 3, 8, 8) + pixels(n).tobytes())),
    "pixels": ("a.csv", NUMBERS.map(lambda n: b"".join(_row(row) for row in pixels(n).reshape(3, -1)))),
    "webdataset": ("a.tar", NUMBERS.map(lambda seed: _tar(_shard(seed)))),
    "images": (
        "a.zip",
        NUMBERS.map(lambda seed: zipped({"cat/a.png": _image(seed), "dog/b.PNG": b"", "c.doc": b"x"})),
    ),
}


def _row(values: np.ndarray) -> bytes:
    return ",".join(map(str, [7, *values])).encode() + b"\n"


TOPS = {"I;16": 2**16 - 1, "I": 2**31 - 1, "F": 3000}  # highest value of pixels deeper than 8 bits


def encoded(mode: str, format: str, seed: int) -> tuple[Image.Image, bytes]:
    """A picture of a mode, and its file."""
    generator = np.random.default_rng(seed)
    height, width = generator.integers(1, 20, 2)
    if mode in ("I;16", "I", "F"):
        values = generator.integers(0, TOPS[mode] + 1, (height, width))
        picture = Image.fromarray(values.astype({"I;16": "<u2", "I": "<i4", "F": "<f4"}[mode]))
    else:
        noise = generator.integers(0, 256, (height, width, 4), np.uint8)
        picture = Image.fromarray(noise, "RGBA").convert(mode)
    file = io.BytesIO()
    picture.save(file, format)
    return picture, file.getvalue()


@st.composite
def mutated(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A whole file with up to four changes."""
    data = draw(whole)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        end = min(len(data), place + draw(st.integers(1, 40)))
        change = draw(st.sampled_from(("insert", "cut", "drop", "twice", "flip", "lines", "encoding")))
        if change == "insert":
            data = data[:place] + draw(st.sampled_from(TOKENS)) + data[place:]
        elif change == "cut":
            data = data[:place]
        elif change == "drop":
            data = data[:place] + data[end:]
        elif change == "twice":
            data = data[:end] + data[place:]
        elif change == "flip":
            data = data[:place] + bytes([*data[place : place + 1]]).translate(FLIPPED) + data[place + 1 :]
        elif change == "lines":
            data = data.replace(b"\n", draw(st.sampled_from((b"\r", b"\r\n", b"\n\n"))))
        else:
            codec = draw(st.sampled_from(("utf-16", "utf-16-le", "utf-32", "utf-8-sig", "cp1251", "cp932")))
            data = data.decode("utf-8", "ignore").encode(codec, "replace")
    return data


FLIPPED = bytes(value ^ 0x90 for value in range(256))
