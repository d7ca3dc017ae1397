"""Small files that would be much work: each is refused after a bounded part of it, by its name."""

import bz2
import io
import lzma
import zipfile
from functools import partial

import pyarrow as pa
import pytest
import zstandard
from PIL import Image
from pyarrow import parquet

from components.lib.core.errors import DataError
from components.lib.data import images
from components.lib.data.formats import Layout, Rejected
from components.lib.data.formats import parquet as tables
from components.lib.data.sources import read_records
from components.lib.data.streams import Limits

LINE = b'{"text": "one"}\n'


def zstd_with_window(log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=log)
    sink = io.BytesIO()
    with zstandard.ZstdCompressor(compression_params=parameters).stream_writer(sink, closefd=False) as writer:
        writer.write(LINE * 1000)
    return sink.getvalue()


def zipped(method: int, *members: bytes) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for number, data in enumerate(members):
            archive.writestr(f"{number}.jsonl", data)
    return sink.getvalue()


def nulls(rows: int) -> bytes:
    """Rows that take no space at all."""
    sink = io.BytesIO()
    parquet.write_table(pa.table({"text": pa.nulls(rows, pa.int8())}), sink)
    return sink.getvalue()


BOMBS = [
    ("a.jsonl.zst", partial(zstd_with_window, 31), "asks for too much memory"),
    ("a.zip", partial(zipped, zipfile.ZIP_DEFLATED, bytes(40 << 20), bytes(40 << 20)), "decompression bomb"),
    ("a.zip", partial(zipped, zipfile.ZIP_LZMA, LINE), "compressed in an unusual way"),
    ("a.parquet", partial(nulls, 2_000_000), "decompression bomb"),
]


@pytest.mark.parametrize(("name", "data", "what"), BOMBS)
def test_a_bomb_is_refused(tmp_path, monkeypatch, name, data, what):
    monkeypatch.setattr(tables, "Limits", partial(Limits, floor=1 << 20))
    (tmp_path / name).write_bytes(data())
    with pytest.raises(DataError, match=what) as caught:
        list(read_records(str(tmp_path / name)))
    assert name in caught.value.where and caught.value.exit_code == 65


def test_what_is_no_bomb_is_read(tmp_path):
    for name, data in (("a.jsonl.zst", zstd_with_window(24)), ("a.zip", zipped(zipfile.ZIP_BZIP2, LINE))):
        (tmp_path / name).write_bytes(data)
        assert next(iter(read_records(str(tmp_path / name)))).fields == {"text": "one"}


@pytest.mark.parametrize(("ending", "compress"), [("xz", lzma.compress), ("bz2", bz2.compress)])
def test_other_compressions_are_refused_by_name(tmp_path, ending, compress):
    path = tmp_path / f"a.jsonl.{ending}"
    path.write_bytes(compress(LINE))
    with pytest.raises(DataError, match="format of a file is not known") as caught:
        list(read_records(str(path)))
    assert "gzip or zstd" in caught.value.expected
    (found,) = read_records(str(path), Layout("jsonl"))
    assert isinstance(found, Rejected) and "compress it with gzip or zstd" in found.reason


def test_a_picture_that_is_drawn_hundreds_of_times():
    """Each further scan of a progressive JPEG is a few bytes, and work for all of its pixels."""
    sink = io.BytesIO()
    Image.new("L", (400, 400), 128).save(sink, "JPEG", progressive=True)
    data = sink.getvalue()
    assert images.decode(data).shape == (400, 400, 1)
    last = data[data.rindex(images.SCAN) : -2]
    with pytest.raises(DataError, match="too many scans"):
        images.decode(data[:-2] + last * 200 + data[-2:])
