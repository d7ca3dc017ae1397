"""The matrix of bad data: refused with one typed error, or read with what is bad told and set aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.ingestion.config import configured
from components.ingestion.run import run
from tests.bad_input.broken import FILES, GOOD, PDF, tarred, zipped
from tests.bad_input.refusal import DATA, MISSING, SETTING, SETTINGS, Kind, judge
from tests.components.ingestion.corpora import texts

CUT, BOMB = "broken or cut short", "decompression bomb"
ONE = {"txt": {"unit": "document"}}

# id: files, settings, kind of error, what it says, where
REFUSED: dict[str, tuple[dict[str, bytes], dict[str, Any], Kind, str, str]] = {
    "no file": ({}, {}, MISSING, "holds no files", "data"),
    "hidden files alone": ({".a.txt": GOOD}, {}, MISSING, "holds no files", "data"),
    "an empty file": ({"a.txt": b""}, {}, DATA, "no document is left for training", "ingestion"),
    "blanks alone": ({"a.txt": b" \n\t\n\n"}, {}, DATA, "no document is left", "ingestion"),
    "all filtered": ({"a.txt": b"1 2 3 4 5 6\n" * 3}, {}, DATA, "letters: 1", "ingestion"),
    "one document": (
        {"a.txt": b"two three four five six seven\n"}, {}, DATA, "fell into the validation split",
        "ingestion.validation",
    ),
    "bytes of no encoding": (
        {"a.txt": "caf\u00e9\n".encode() * 40 + GOOD + b"\xff\xfe\xfa\n" * 30}, {}, DATA, "is not utf-8",
        "a.txt:101",
    ),
    "binary": ({"a.txt": bytes(range(256)) * 200}, {}, DATA, "not utf-8", "a.txt:2"),
    "a PDF called .txt": ({"a.txt": PDF}, {"format_options": ONE}, DATA, "a PDF", "a.txt"),
    "an unknown encoding": (
        {"a.txt": GOOD}, {"encoding": "utf-9"}, SETTING, "no such encoding", "encoding",
    ),
    "another field": ({"a.jsonl": b'{"txet": "a"}\n' * 9}, {}, DATA, "did you mean 'txet'", "a.jsonl:1"),
    "numbers": ({"a.jsonl": b'{"text": 7}\n' * 9}, {}, DATA, "is no text but int", "a.jsonl:1"),
    "nulls": ({"a.parquet": FILES["null parquet"]}, {}, DATA, "no text but NoneType", "a.parquet:61"),
    "JSON that is no object": ({"a.jsonl": b'["text"]\n' * 9}, {}, DATA, "object is expected", "a.jsonl:1"),
    "an endless quote": (
        {"a.csv": b'text,label\n"never closed,1\nok,2\n'}, {}, DATA, "never closed", "a.csv:2",
    ),
    "cut gzip": ({"a.txt.gz": FILES["cut gzip"]}, {}, DATA, CUT, "a.txt.gz"),
    "cut zstd": ({"a.jsonl.zst": FILES["cut zstd"]}, {}, DATA, CUT, "a.jsonl.zst"),
    "cut bzip2": ({"a.jsonl.bz2": FILES["cut bzip2"]}, {}, DATA, CUT, "a.jsonl.bz2"),
    "no gzip": ({"a.jsonl.gz": b"this is no gzip"}, {}, DATA, CUT, "a.jsonl.gz"),
    "no zip": ({"a.zip": b"this is no zip"}, {}, DATA, CUT, "a.zip"),
    "cut parquet": ({"a.parquet": FILES["cut parquet"]}, {}, DATA, CUT, "a.parquet"),
    "no parquet": ({"a.parquet": b"PAR1 no parquet PAR1"}, {}, DATA, CUT, "a.parquet"),
    "a flipped bit": ({"a.parquet": FILES["flipped parquet"]}, {}, DATA, CUT, "a.parquet"),
    "a gzip bomb": ({"a.txt.gz": FILES["gzip bomb"]}, {}, DATA, BOMB, "a.txt.gz"),
    "a zstd bomb": ({"a.jsonl.zst": FILES["zstd bomb"]}, {}, DATA, BOMB, "a.jsonl.zst"),
    "a zip bomb": ({"a.zip": FILES["zip bomb"]}, {}, DATA, BOMB, "a.zip"),
    "a parquet bomb": ({"a.parquet": FILES["parquet bomb"]}, {}, DATA, BOMB, "a.parquet"),
    "a password": ({"a.zip": FILES["encrypted zip"]}, {}, DATA, "encrypted", "a.zip!/a.txt"),
    "an unknown ending": ({"a.docx": b"PK"}, {}, DATA, "1 of .docx", "a.docx"),
    "more strangers than texts": (
        {"a.docx": b"PK", "b.docx": b"PK", "c": b"", "d.txt": GOOD}, {}, DATA, "2 of .docx, 1 of no ending",
        "a.docx",
    ),
    "pictures": ({"a.png": b"\x89PNG", "b.jpg": b""}, {}, DATA, ".txt", "a.png"),
    "an archive of strangers": ({"a.zip": FILES["strange zip"]}, {}, DATA, "format of a file", "b.exe"),
    "an unknown format": ({"a.txt": GOOD}, {"format": "text"}, SETTING, "no 'text' in formats", ""),
    "an unknown filter": (
        {"a.txt": GOOD}, {"filters": {"lenght": {}}}, SETTINGS, "did you mean 'length'", "ingestion.filters",
    ),
    "no such test set": (
        {"a.txt": GOOD}, {"decontaminate": [{"source": "x.txt"}]}, MISSING, "does not exist", "x.txt",
    ),
    "a test set without the field": (
        {"a.txt": GOOD, "b.csv": b"label\n1\n"}, {"decontaminate": [{"source": "{data}/b.csv"}]}, DATA,
        "no field 'text'", "b.csv:2",
    ),
}  # fmt: skip


def make(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("row", REFUSED)
def test_bad_data_are_refused(refused, tmp_path, row):
    files, settings, kind, what, where = REFUSED[row]
    data = make(tmp_path / "data", files)
    settings = json.loads(json.dumps(settings).replace("{data}", str(data)))
    config = configured(
        {"sources": [str(data)], "format_options": {"txt": {"unit": "line"}}, "workers": 1, **settings}
    )
    outputs = {name: tmp_path / name for name in ("corpus", "card")}
    judge(refused("ingestion", lambda context: run(config, context, **outputs)), kind, what, where)
    assert not any(path.exists() for path in outputs.values())


def test_an_error_about_text_does_not_speak_of_images(refused, tmp_path):
    config = configured({"sources": [str(make(tmp_path / "data", {"a.docx": b"PK"}))]})
    error = refused(
        "ingestion", lambda context: run(config, context, corpus=tmp_path / "c", card=tmp_path / "d")
    )
    assert ".jsonl" in error["expected"] and not any(
        end in error["expected"] for end in (".png", ".npz", ".idx")
    )


LINE = b'{"text": "%s"}\n'
SENTENCES = b"".join(line.replace(b" ", b" O\n") + b" O\n\n" for line in GOOD.splitlines())
CELLS, TABS = GOOD.replace(b"\n", b",1\n"), GOOD.replace(b"\n", b"\t1\n")
ROWS = b"".join(LINE % text.encode() for text in texts(60, "b"))

# id: file, its data, settings, [(place in the file, reason)]
SET_ASIDE: dict[str, tuple[str, bytes, dict[str, Any], list[tuple[str, str]]]] = {
    "no JSON": ("a.jsonl", ROWS + b'{"text": oops\n' + ROWS, {}, [("61", "not JSON")]),
    "no object": ("a.jsonl", ROWS + b'["text"]\n', {}, [("61", "a JSON object is expected, not list")]),
    "endless nesting": ("a.jsonl", ROWS + b"[" * 100_000 + b"\n", {}, [("61", "not JSON")]),
    "no UTF-8": ("a.jsonl", ROWS + LINE % b"caf\xc3\xa9" + LINE % b"\xff\xfe", {}, [("62", "is not utf-8")]),
    "mixed types": ("a.jsonl", ROWS + b'{"text": 7}\n{"text": null}\n{"text": {"a": 1}}\n', {},
                    [("61", "text but int"), ("62", "text but NoneType"), ("63", "text but dict")]),
    "a missing field": ("a.jsonl", ROWS + b'{"body": "a"}\n', {}, [("61", "no field 'text'; known: body")]),
    "NUL": ("a.jsonl", ROWS + b'{"text": "%s"}\n' % (b"a\\u0000" * 40), {}, [("61", "NUL characters")]),
    "a ragged row": ("a.csv", b"text,label\n" + CELLS + b"ragged\n", {},
                     [("62", "1 columns, the header has 2")]),
    "a loose quote": ("a.csv", b"text,label\n" + CELLS + b'"a"b,3\n', {}, [("62", "not CSV")]),
    "a cell of no UTF-8": ("a.csv", b"text,label\nok \xc3\xa9,1\n" + CELLS + b"\xff,3\n", {},
                           [("63", "is not utf-8")]),
    "a ragged .tab": ("a.tab", b"text\tlabel\nstring\td\n\tclass\n" + TABS + b"a\tb\tc\n", {},
                      [("64", "3 columns")]),
    "a word without label": ("a.conll", SENTENCES + b"c\n",
                             {"text": "tokens"}, [("1861", "a token and a label")]),
    "nulls": ("a.parquet", FILES["null parquet"], {}, [("61", "text but NoneType")]),
    "a stranger in a zip": ("a.zip", zipped({"a.txt": GOOD, "b.exe": b"MZ"}), {},
                            [("!/b.exe", "format of")]),
    "a stranger in a tar": ("a.tgz", tarred({"a.txt": GOOD, "b": b"MZ"}), {}, [("!/b", "the format of")]),
}  # fmt: skip


@pytest.mark.parametrize("row", SET_ASIDE)
def test_bad_records_are_set_aside_with_place_and_reason(ingest, tmp_path, row):
    name, data, settings, expected = SET_ASIDE[row]
    folder = make(tmp_path / "data", {name: data})
    manifest = ingest(folder, quarantine=0.0 if "stranger" in row else 0.1, **settings)
    found = ingest.table(manifest, "quarantine").to_pylist()
    assert manifest.facts["quarantined"] == len(found) == len(expected)
    for one, (place, reason) in zip(found, expected, strict=True):
        joint = "" if place.startswith("!/") else ":"
        assert one["location"] == f"{folder}/{name}{joint}{place}" and reason in one["reason"]
        assert len(one["excerpt"]) <= 400 and one["excerpt"].isprintable()
    assert sum(manifest.facts["documents"].values()) >= 55


# id: file, its data, what is told of it, where in it
WHOLE: dict[str, tuple[str, bytes, str, str]] = {
    "a gzip bomb": ("b.txt.gz", FILES["gzip bomb"], BOMB, ""),
    "a zstd bomb": ("b.jsonl.zst", FILES["zstd bomb"], BOMB, ""),
    "a zip bomb": ("b.zip", FILES["zip bomb"], BOMB, ""),
    "a parquet bomb": ("b.parquet", FILES["parquet bomb"], BOMB, ""),
    "cut gzip": ("b.txt.gz", FILES["cut gzip"], CUT, ""),
    "cut zstd": ("b.jsonl.zst", FILES["cut zstd"], CUT, ""),
    "cut bzip2": ("b.jsonl.bz2", FILES["cut bzip2"], CUT, ""),
    "cut parquet": ("b.parquet", FILES["cut parquet"], CUT, ":1"),
    "a flipped bit": ("b.parquet", FILES["flipped parquet"], CUT, ":1"),
    "a password": ("b.zip", FILES["encrypted zip"], "encrypted", "!/a.txt"),
    "an endless quote": ("b.csv", b'text\n' + GOOD + b'"never closed\nok\n', "never closed", ":62"),
    "an archive of strangers": ("b.zip", FILES["strange zip"], "format of a file is not known", "!/b.exe"),
}  # fmt: skip


@pytest.mark.parametrize("row", WHOLE)
def test_a_file_that_is_not_read_to_its_end_is_set_aside_whole(ingest, tmp_path, row):
    """None of its rows is kept, all of its neighbour's are; test_hostile.py of ingestion has what kills."""
    name, data, what, place = WHOLE[row]
    folder = make(
        tmp_path / "data", {"a.txt": "".join(f"{one}\n" for one in texts(60, "c")).encode(), name: data}
    )
    manifest = ingest(folder, quarantine=1.0)
    (found,) = ingest.table(manifest, "quarantine").to_pylist()
    assert found["source"] == f"{folder}/{name}" and found["location"] == f"{folder}/{name}{place}"
    assert what in found["reason"] and found["reason"].isprintable()
    assert sum(manifest.facts["documents"].values()) == 60 and not manifest.facts["dropped"]
    (notice,) = ingest.notices
    assert f"{folder}/{name}: {found['reason']}" in notice


# id: file, its data, settings, documents that stay, what was dropped and why
DROPPED: dict[str, tuple[str, bytes, dict[str, Any], int, dict[str, int]]] = {
    "copies": ("a.txt", GOOD + GOOD, {}, 60, {"exact_duplicate": 60}),
    "near-copies": ("a.txt", b"".join(
        f"{text}{end}\n".encode() for text in texts(60, "c", length=100) for end in ("", " more")), {}, 60,
        {"near_duplicate": 60}),
    "test texts": ("a.txt", GOOD, {"decontaminate": [{"source": "{test}"}]}, 30,
                   {"contaminated": 30}),
    "a byte order mark": ("a.csv", b"\xef\xbb\xbftext\n" + GOOD, {}, 60, {}),
    "semicolons": ("a.csv", b"label;text\n1,5;" + GOOD.replace(b"\n", b"\n1,5;")[:-4], {}, 60, {}),
    "too short": ("a.txt", GOOD + b"one two\n", {}, 60, {"length": 1}),
}  # fmt: skip


@pytest.mark.parametrize("row", DROPPED)
def test_what_is_dropped_is_counted_by_its_reason(ingest, tmp_path, row):
    name, data, settings, kept, dropped = DROPPED[row]
    folder = make(tmp_path / "data", {name: data})
    test = tmp_path / "test.txt"
    test.write_bytes(b"".join(GOOD.splitlines(keepends=True)[:30]))
    manifest = ingest(folder, **json.loads(json.dumps(settings).replace("{test}", str(test))))
    facts = manifest.facts
    assert sum(facts["documents"].values()) == kept
    assert facts["dropped"] == dropped and facts["quarantined"] == 0
    assert facts["read"] == sum(facts["documents"].values()) + sum(facts["dropped"].values())
    rows = ingest.dropped(manifest)
    assert len(rows) == sum(facts["dropped"].values()) and all(r["location"] and r["reason"] for r in rows)


def test_strangers_in_a_folder_are_told_and_passed_over(ingest, tmp_path, capsys):
    """Told in each run, and no part of the corpus: it stays the same as they come and go."""
    folder = make(tmp_path / "data", {"a.txt": GOOD, "b.txt": GOOD.upper(), "c.csv": b"text\n" + GOOD})
    before = ingest(folder, quarantine=0)
    make(folder / "more", {"notes.docx": b"PK", "photo.png": b"\x89PNG"})
    after = ingest(folder, quarantine=0)
    assert after.reference == before.reference and ingest.reused
    expected = (
        f"passed over 2 files (1 of .docx, 1 of .png): {folder}/more/notes.docx, {folder}/more/photo.png"
    )
    assert ingest.notices == [expected] and expected in capsys.readouterr().out
