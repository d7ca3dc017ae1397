"""JSON as people have it: lines, arrays, objects that hold an array, one object after the other."""

import json
from pathlib import Path

import pytest

from components.lib.core.errors import DataError
from components.lib.data import decoding
from components.lib.data.formats import Account, Layout, Record
from components.lib.data.sources import read_records

ROWS = [{"text": f"some words, {i}", "label": "ab"[i % 2], "meta": {"n": [i]}} for i in range(30)]
LINES = "\n".join(map(json.dumps, ROWS))


def read(tmp_path: Path, data: str | bytes, wanted=("text",), name="a.json", encoding="auto", **options):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))
    accounts: list[Account] = []
    layout = Layout(fields=wanted, options={"jsonl": options}, encoding=encoding)
    found = list(read_records(str(path), layout, accounts))
    good = [one.fields for one in found if isinstance(one, Record)]
    return good, [one for one in found if type(one) is not Record], accounts[0]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonlines"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize(
    "text",
    {
        "lines": LINES,
        "lines, CR alone": LINES.replace("\n", "\r"),
        "array": json.dumps(ROWS),
        "pretty array": json.dumps(ROWS, indent=2),
        "compact": json.dumps(ROWS, separators=(",", ":")),
        "data": json.dumps({"data": ROWS}),
        "pretty data": json.dumps({"version": "1.1", "data": ROWS, "n": 3}, indent=1),
        "one after the other": "\n".join(json.dumps(row, indent=1) for row in ROWS),
    }.items(),
    ids=lambda pair: pair[0],
)
def test_records_are_found_wherever_they_are(tmp_path, text, encoding, name):
    good, bad, account = read(tmp_path, text[1].encode(encoding), name=name)
    assert good == ROWS and not bad and account.records == account.read - account.blank == 30


def test_an_array_is_streamed_whatever_its_lines(tmp_path, monkeypatch):
    """On one line, which is longer than a line may be."""
    monkeypatch.setattr(decoding, "LONGEST", 5000)
    monkeypatch.setattr("components.lib.data.json_documents.LONGEST", 5000)
    monkeypatch.setattr(decoding, "PIECE", 100)
    monkeypatch.setattr("components.lib.data.json_documents.CHUNK", 64)
    rows = ROWS * 20
    for document in (rows, {"name": "x", "data": rows}):
        padded = json.dumps(document) + " " * (1 << 18)
        good, _, account = read(tmp_path, padded)
        assert good == rows and account.unit == "records" and account.read == len(rows)


BAD = '[{"text": "a"},\n{"text": "b\udcff"},\n 3,\n{"text": "c", "text": "d"},\n{"text": "e"}]'


@pytest.mark.parametrize(
    ("data", "good", "bad"),
    [
        (BAD, ["a", "e"], {2: "utf-8", 3: "object is expected", 4: "'text' stands twice"}),
        ('{"text": "a"}\n{"text": "b", "text": "c"}\n', ["a"], {2: "stands twice"}),
        ('{"text": "a"} {"text": "b"}\n{"text": "c"}\n', ["c"], {1: "more stands behind"}),
        ('{"text": "a\n{"text": "b"}\n', ["b"], {1: "not JSON"}),
        ('{"text": "a\n3\n{"text": "b"}\n', ["b"], {1: "not JSON", 2: "object is expected"}),
        ('{"data": [\n{"text": "a"},\n{"text": "b"}]}\n', ["a", "b"], {}),
        ('{"text": "a", "annotations": [{"x": 1}]}\n', ["a"], {}),
        ('{"annotations": [{"x": 1}], "text": "a"}\n', ["a"], {}),
        ('{\n"text": "a",\n"annotations": [{"x": 1}]\n}\n', ["a"], {}),
        ('{\n"te\udcffxt": "a",\n"n": 1\n}\n', [], {1: "utf-8"}),
        ("[]", [], {}),
        ("", [], {}),
    ],
)
def test_what_is_no_record_is_told_where_it_stands(tmp_path, data, good, bad):
    found, rejected, _ = read(tmp_path, data, encoding="utf-8")
    assert [one["text"] for one in found] == good
    told = {int(one.where.rpartition(":")[2]): one.reason for one in rejected}
    assert told.keys() == bad.keys() and all(bad[line] in told[line] for line in bad)


def test_what_stands_beside_the_records_is_told(tmp_path):
    account = read(tmp_path, json.dumps({"version": 1, "data": ROWS}))[2]
    assert "'data'" in account.notes[0] and "version" in account.notes[0]
    assert read(tmp_path, json.dumps({"a": ROWS, "b": ROWS[:1]}), records="b")[0] == ROWS[:1]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (json.dumps(ROWS)[:-20], "cannot be read"),
        ('[{"text": "a"} {"text": "b"}]', "cannot be read"),
        (json.dumps(ROWS) + "x", "cannot be read"),
        (json.dumps({"images": ROWS, "annotations": ROWS}), "several arrays"),
        (json.dumps({"annotations": ROWS, "text": "a"}, indent=1), "is a record and holds some"),
        ("[" * 100_000, "cannot be read"),
        ('{\n["text"]: "a"\n}', "cannot be read"),
    ],
)
def test_a_document_that_cannot_be_read_is_refused_whole(tmp_path, data, match):
    with pytest.raises(DataError, match=match):
        read(tmp_path, data)
