import gzip
import json
import tarfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.lib.core.errors import ConfigError, ConfigErrors, MissingError
from components.lib.data import formats
from components.lib.data.formats import Layout, Record, Rejected
from components.lib.data.formats.conll import iob2
from components.lib.data.sources import read_records

ROWS = [{"text": "first, with a comma", "label": "a"}, {"text": 'second "quoted"', "label": "b"}]


def write(folder: Path, name: str, data: str | bytes) -> str:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def fields(uri: str, **options) -> list:
    return [record.fields for record in read_records(uri, Layout(**options))]


def zstd(data: bytes) -> bytes:
    return pa.Codec("zstd").compress(data, asbytes=True)


JSONL = "".join(json.dumps(row) + "\n" for row in ROWS)
FILES = {
    "rows.jsonl": JSONL,
    "rows.jsonl.gz": gzip.compress(JSONL.encode()),
    "rows.jsonl.zst": zstd(JSONL.encode()),
    "rows.csv": 'text,label\n"first, with a comma",a\n"second ""quoted""",b\n',
    "rows.tsv": 'text\tlabel\nfirst, with a comma\ta\nsecond "quoted"\tb\n',
    "rows.tab": 'text\tlabel\nstring\td\nmeta\tclass\n\nfirst, with a comma\ta\nsecond "quoted"\tb\n',
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_records(tmp_path, name):
    found = list(read_records(write(tmp_path, name, FILES[name])))
    assert [record.fields for record in found] == ROWS
    assert all(record.where.startswith(f"{tmp_path}/{name}:") for record in found)


def test_parquet_rows_in_batches(tmp_path):
    rows = [{"text": f"number {i}", "size": i} for i in range(1000)]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet", row_group_size=300)
    found = list(read_records(str(tmp_path / "rows.parquet")))
    assert [record.fields for record in found] == rows
    assert found[999].where == f"{tmp_path}/rows.parquet:1000"


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("document", ["one\ntwo\n\n\nthree"]),
        ("line", ["one", "two", "three"]),
        ("paragraph", ["one\ntwo", "three"]),
    ],
)
def test_units_of_text(tmp_path, unit, expected):
    uri = write(tmp_path, "a.txt", "one\r\ntwo\n\n\nthree\n")
    found = list(read_records(uri, Layout(options={"txt": {"unit": unit}})))
    assert [record.fields["text"].rstrip("\n") for record in found] == expected
    assert found[0].where == f"{uri}:1" and found[-1].where.endswith(":5" if unit != "document" else ":1")


FRENCH = (
    "Apr\u00e8s avoir travers\u00e9 la for\u00eat, le gar\u00e7on s\u2019arr\u00eata pr\u00e8s "
    "d\u2019une vieille maison abandonn\u00e9e. Il \u00e9tait fatigu\u00e9 et il avait tr\u00e8s faim. "
)
RUSSIAN = (
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u044d\u0442\u043e "
    "\u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0442\u0435\u043a\u0441\u0442. "
)


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "caf\u00e9 na\u00efve \u4f60\u597d"),
        ("utf-8-sig", "caf\u00e9 with a mark"),
        ("utf-16", "caf\u00e9 \u4f60\u597d with a mark"),
        ("utf-32", "caf\u00e9 with a mark"),
        ("utf-16-le", "caf\u00e9 without a mark, which takes a little more text to be sure of. " * 3),
        ("cp1252", FRENCH),
        ("cp1251", RUSSIAN * 5),
    ],
)
def test_encodings_are_detected(tmp_path, encoding, text):
    uri = write(tmp_path, "a.txt", f"{text}\n{text}\n".encode(encoding))
    assert fields(uri, options={"txt": {"unit": "line"}}) == [{"text": text}] * 2


def test_a_given_encoding_is_obeyed(tmp_path):
    uri = write(tmp_path, "a.txt", "\u00e9".encode("latin-1"))
    assert fields(uri, encoding="latin-1") == [{"text": "\u00e9"}]
    with pytest.raises(ConfigError, match="no such encoding"):
        fields(uri, encoding="utf-9")


def test_one_broken_line_does_not_change_the_encoding_of_the_others(tmp_path):
    lines = ["caf\u00e9".encode()] * 20 + [b"caf\xe9 broken"] + ["na\u00efve".encode()] * 20
    uri = write(tmp_path, "a.txt", b"\n".join(lines))
    found = list(read_records(uri, Layout(options={"txt": {"unit": "line"}})))
    broken = [item for item in found if isinstance(item, Rejected)]
    assert (
        len(found) == 41
        and found[0].fields == {"text": "caf\u00e9"}
        and found[40].fields == {"text": "na\u00efve"}
    )
    assert (
        broken[0].where == f"{uri}:21" and "byte 123 " in broken[0].reason and "broken" in broken[0].excerpt
    )


def test_a_line_longer_than_the_limit_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("components.lib.data.decoding.LONGEST", 1000)
    uri = write(tmp_path, "a.jsonl", '{"text": "ok"}\n' + "x" * 5000 + '\n{"text": "ok"}\n')
    found = list(read_records(uri))
    assert [type(item) for item in found] == [Record, Rejected, Record]
    assert "longer than 1,000 bytes" in found[1].reason and found[2].where.endswith(":3")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
def test_members_of_archives_are_read_in_place(tmp_path, name):
    write(tmp_path, "one.txt", "one")
    write(tmp_path, "two.jsonl.gz", gzip.compress(b'{"text": "two"}\n'))
    archive = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for member in ("one.txt", "two.jsonl.gz"):
                file.write(tmp_path / member, f"in/{member}")
    else:
        with tarfile.open(archive, "w:gz" if name.endswith("gz") else "w") as file:
            for member in ("one.txt", "two.jsonl.gz"):
                file.add(tmp_path / member, f"in/{member}")
            link = tarfile.TarInfo("in/link.txt")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            file.addfile(link)
    assert fields(str(archive)) == [{"text": "one"}, {"text": "two"}]
    found = list(read_records(f"{archive}!/in/*.jsonl.gz"))
    assert found == [Record({"text": "two"}, f"{archive}!/in/two.jsonl.gz:1")]
    with pytest.raises(MissingError, match="no such member"):
        fields(f"{archive}!/absent/*")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("O I-x I-x O I-y", "O B-x I-x O B-y"),
        ("I-x B-x I-x", "B-x B-x I-x"),
        ("B-x I-x I-y", "B-x I-x B-y"),
        ("B-x E-x S-x S-y O", "B-x I-x B-x B-y O"),
        ("B-x L-x I-x U-y", "B-x I-x B-x B-y"),
    ],
)
def test_chunk_notations_become_iob2(given, expected):
    assert iob2(given.split()) == expected.split()


def test_conll_sentences(tmp_path):
    uri = write(
        tmp_path, "a.conll", "-DOCSTART- -X- O\n\nAda NNP I-per\nsang VBD O\n\n\nIn IN O\nOslo NNP I-loc\n"
    )
    assert fields(uri) == [
        {"tokens": ["Ada", "sang"], "labels": ["B-per", "O"]},
        {"tokens": ["In", "Oslo"], "labels": ["O", "B-loc"]},
    ]


def test_options_are_checked():
    with pytest.raises(ConfigErrors) as caught:
        formats.check({"txt": {"unti": "line"}})
    assert "did you mean 'unit'" in str(caught.value)
    with pytest.raises(ConfigError, match="no 'doc'"):
        formats.check({"doc": {}})


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl.gz", "a.parquet", "a.csv", "a.npz", "a.conll"])
def test_a_pointer_of_git_lfs_is_named(tmp_path, name):
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12345\n"
    (found,) = read_records(write(tmp_path, name, pointer))
    assert isinstance(found, Rejected) and "git lfs pull" in found.reason


ZST = zstd(JSONL[: len(JSONL) // 2].encode()) + zstd(JSONL[len(JSONL) // 2 :].encode())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", gzip.compress(JSONL[:9].encode()) + gzip.compress(JSONL[9:].encode())),
        ("a.jsonl.gz", gzip.compress(JSONL.encode()) + bytes(100)),
        ("a.jsonl.gzip", gzip.compress(JSONL.encode())),
        ("a.jsonl.zst", ZST),
        ("a.jsonl.zst", b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + ZST),  # a frame to be skipped
        ("a.ndjson.zstd", ZST),
        ("a.jsonlines", JSONL.encode()),
        ("a.jsonl", JSONL.encode("utf-16")),
        ("a.jsonl", JSONL.encode("utf-16-be")),
    ],
)
def test_compressions_and_endings_as_they_are_met(tmp_path, name, data):
    assert fields(write(tmp_path, name, data)) == ROWS


def test_parquet_that_is_compressed_inside(tmp_path):
    parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet.gzip", compression="gzip")
    assert fields(str(tmp_path / "a.parquet.gzip")) == ROWS
