"""The matrix of bad data: refused with one typed error, or read with what is bad told and set aside."""

import json
from pathlib import Path

from components.ingestion.config import configured
from components.ingestion.run import run
from tests.bad_input.broken import FILES, GOOD, PDF
from tests.bad_input.refusal import MISSING, SETTING, SETTINGS, Row, judge, rows
from tests.made.corpora import nonsense

CUT, BOMB, FEW = "broken or cut short", "decompression bomb", "no document is left"
MIXED = "caf\u00e9\n".encode() * 40 + GOOD + b"\xff\xfe\xfa\n" * 30
STRANGERS = {"a.docx": b"PK", "b.docx": b"PK", "c": b"c", "d.txt": GOOD}
DOCUMENT = {"format_options": {"txt": {"unit": "document"}}}
TEST = {"decontaminate": [{"source": "{data}/b.csv"}]}

REFUSED = {
    "no file": Row({}, "holds no data", "data", MISSING),
    "hidden files alone": Row({".a.txt": GOOD}, "1 hidden files (.a.txt)", "data", MISSING),
    "an empty file": Row({"a.txt": b""}, "1 empty files", "data", MISSING),
    "blanks alone": Row({"a.txt": b" \n\t\n\n"}, FEW, "ingestion"),
    "all filtered": Row({"a.txt": b"1 2 3 4 5 6\n" * 3}, "letters: 1", "ingestion"),
    "one document": Row(
        {"a.txt": b"two three four five six seven\n"}, "fell into the validation", ".validation"
    ),
    "bytes of no encoding": Row({"a.txt": MIXED}, "is not utf-8", "a.txt:101"),
    "binary": Row({"a.txt": bytes(range(256)) * 200}, "encoding of a file is not known", "a.txt"),
    "a PDF called .txt": Row({"a.txt": PDF}, "a PDF", "a.txt", settings=DOCUMENT),
    "an unknown encoding": Row(
        {"a.txt": GOOD}, "no such encoding", "encoding", SETTING, {"encoding": "utf-9"}
    ),
    "another field": Row({"a.jsonl": b'{"txet": "a"}\n' * 9}, "did you mean 'txet'", "a.jsonl:1"),
    "numbers": Row({"a.jsonl": b'{"text": 7}\n' * 9}, "is not text but int", "a.jsonl:1"),
    "nulls": Row({"a.parquet": FILES["null parquet"]}, "not text but NoneType", "a.parquet:61"),
    "JSON that is not an object": Row({"a.jsonl": b'["text"]\n' * 9}, "object is expected", "a.jsonl:1"),
    "no gzip": Row({"a.jsonl.gz": b"this is not a gzip"}, CUT, "a.jsonl.gz"),
    "no zip": Row({"a.zip": b"this is not a zip"}, CUT, "a.zip"),
    "no parquet": Row({"a.parquet": b"PAR1 no parquet PAR1"}, CUT, "a.parquet"),
    "an unknown ending": Row({"a.docx": b"PK"}, "1 of .docx", "a.docx"),
    "more strangers than texts": Row(STRANGERS, "2 of .docx, 1 of no ending", "a.docx"),
    "pictures": Row({"a.png": b"\x89PNG", "b.jpg": b""}, ".txt", "a.png"),
    "an unknown format": Row({"a.txt": GOOD}, "no 'text' in formats", "", SETTING, {"format": "text"}),
    "an unknown filter": Row(
        {"a.txt": GOOD}, "did you mean 'length'", "ingestion.filters", SETTINGS, {"filters": {"lenght": {}}}
    ),
    "no such test set": Row(
        {"a.txt": GOOD}, "does not exist", "x.txt", MISSING, {"decontaminate": [{"source": "x.txt"}]}
    ),
    "a test set without the field": Row(
        {"a.txt": GOOD, "b.csv": b"label\n1\n"}, "no field 'text'", "b.csv:2", settings=TEST
    ),
}
# id: name and data of a file that is not read to its end, what is told of it, where in it
BROKEN: dict[str, tuple[str, bytes, str, str]] = {
    "a gzip bomb": ("b.txt.gz", FILES["gzip bomb"], BOMB, ""),
    "a zstd bomb": ("b.jsonl.zst", FILES["zstd bomb"], BOMB, ""),
    "a zip bomb": ("b.zip", FILES["zip bomb"], BOMB, ""),
    "a parquet bomb": ("b.parquet", FILES["parquet bomb"], BOMB, ""),
    "cut gzip": ("b.txt.gz", FILES["cut gzip"], CUT, ""),
    "cut zstd": ("b.jsonl.zst", FILES["cut zstd"], CUT, ""),
    "cut parquet": ("b.parquet", FILES["cut parquet"], CUT, ":1"),
    "a flipped bit": ("b.parquet", FILES["flipped parquet"], CUT, ":1"),
    "a password": ("b.zip", FILES["encrypted zip"], "encrypted", "!/a.txt"),
    "an endless quote": ("b.csv", b"text\n" + GOOD + b'"never closed\nok\n', "never closed", ":62"),
    "an archive of strangers": ("b.zip", FILES["strange zip"], "format of a file", "!/b.exe"),
}


def make(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


@rows(REFUSED | {f"{name} alone": Row({r[0]: r[1]}, r[2], f"{r[0]}{r[3]}") for name, r in BROKEN.items()})
def test_bad_data_are_refused(refused, tmp_path, row):
    data = make(tmp_path / "data", row.given)
    given = {
        "sources": [str(data)],
        "format_options": {"txt": {"unit": "line"}},
        "workers": 1,
        **row.settings,
    }
    config = configured({"modality": "text", **json.loads(json.dumps(given).replace("{data}", str(data)))})
    outputs = {name: tmp_path / name for name in ("corpus", "card")}
    error = refused("ingestion", lambda context: run(config, context, **outputs))
    judge(error, row)
    assert not any(path.exists() for path in outputs.values())
    assert not any(end in error["expected"] for end in (".png", ".npz", ".idx")), "of texts, not of images"


LINE, TAB = b'{"text": "%s"}\n', b"text\tlabel\nstring\td\n\tclass\n"
TYPES = b'{"text": 7}\n{"text": null}\n{"text": {"a": 1}}\n'
SENTENCES = b"".join(line.replace(b" ", b" O\n") + b" O\n\n" for line in GOOD.splitlines())
CELLS, TABS = GOOD.replace(b"\n", b",1\n"), GOOD.replace(b"\n", b"\t1\n")
JSONL = b"".join(LINE % text.encode() for text in nonsense(60, "b"))
HEAD = b"text,label\n"

# id: file, its data, reason by place in the file
SET_ASIDE: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "no JSON": ("a.jsonl", JSONL + b'{"text": oops\n' + JSONL, {"61": "not JSON"}),
    "no object": ("a.jsonl", JSONL + b'["text"]\n', {"61": "a JSON object is expected, not list"}),
    "endless nesting": ("a.jsonl", JSONL + b"[" * 100_000 + b"\n", {"61": "not JSON"}),
    "no UTF-8": ("a.jsonl", JSONL + LINE % b"caf\xc3\xa9" + LINE % b"\xff\xfe", {"62": "is not utf-8"}),
    "mixed types": ("a.jsonl", JSONL + TYPES, {"61": "but int", "62": "but NoneType", "63": "text but dict"}),
    "a missing field": ("a.jsonl", JSONL + b'{"body": "a"}\n', {"61": "no field 'text'; known: body"}),
    "NUL": ("a.jsonl", JSONL + LINE % (b"a\\u0000" * 40), {"61": "NUL characters"}),
    "a ragged row": ("a.csv", HEAD + CELLS + b"ragged\n", {"62": "1 columns, the header has 2"}),
    "a loose quote": ("a.csv", HEAD + CELLS + b'"a"b,3\n', {"62": "not CSV"}),
    "a cell of no UTF-8": ("a.csv", HEAD + b"ok \xc3\xa9,1\n" + CELLS + b"\xff,3\n", {"63": "is not utf-8"}),
    "a ragged .tab": ("a.tab", TAB + TABS + b"a\tb\tc\n", {"64": "3 columns"}),
    "a word without label": ("a.conll", SENTENCES + b"c\n", {"1861": "a token and a label"}),
    "nulls": ("a.parquet", FILES["null parquet"], {"61": "text but NoneType"}),
}


@rows(SET_ASIDE)
def test_bad_records_are_set_aside_with_place_and_reason(ingest, tmp_path, row):
    name, data, expected = row
    folder = make(tmp_path / "data", {name: data})
    field = {"text": "tokens"} if name == "a.conll" else {}
    manifest = ingest(folder, quarantine=0.1, **field)
    found = ingest.table(manifest, "quarantine").to_pylist()
    assert manifest.facts["quarantined"] == len(found) == len(expected)
    for one, (place, reason) in zip(found, expected.items(), strict=True):
        assert one["location"] == f"{folder}/{name}:{place}" and reason in one["reason"]
        assert len(one["excerpt"]) <= 400 and one["excerpt"].isprintable()
    assert sum(manifest.facts["documents"].values()) >= 55


@rows(BROKEN)
def test_a_file_that_is_not_read_to_its_end_is_set_aside_whole(ingest, tmp_path, row):
    """None of its rows is kept, all of its neighbour's are; test_hostile.py of ingestion has what kills."""
    name, data, what, place = row
    good = "".join(f"{one}\n" for one in nonsense(60, "c")).encode()
    folder = make(tmp_path / "data", {"a.txt": good, name: data})
    manifest = ingest(folder, quarantine=1.0)
    (found,) = ingest.table(manifest, "quarantine").to_pylist()
    assert found["source"] == f"{folder}/{name}" and found["location"] == f"{folder}/{name}{place}"
    assert what in found["reason"] and found["reason"].isprintable()
    assert sum(manifest.facts["documents"].values()) == 60 and not manifest.facts["dropped"]
    (notice,) = ingest.notices
    assert f"{folder}/{name}: {found['reason']}" in notice


NEAR = "".join(f"{text}{end}\n" for text in nonsense(60, "c", length=100) for end in ("", " more")).encode()
# id: file, its data, documents that stay, how many were dropped and why
DROPPED: dict[str, tuple[str, bytes, int, dict[str, int]]] = {
    "copies": ("a.txt", GOOD + GOOD, 60, {"exact_duplicate": 60}),
    "near-copies": ("a.txt", NEAR, 60, {"near_duplicate": 60}),
    "test texts": ("a.txt", GOOD, 30, {"contaminated": 30}),
    "a byte order mark": ("a.csv", b"\xef\xbb\xbftext\n" + GOOD, 60, {}),
    "semicolons": ("a.csv", b"label;text\n1,5;" + GOOD.replace(b"\n", b"\n1,5;")[:-4], 60, {}),
    "too short": ("a.txt", GOOD + b"one two\n", 60, {"length": 1}),
}


@rows(DROPPED)
def test_what_is_dropped_is_counted_by_its_reason(ingest, tmp_path, row):
    name, data, kept, dropped = row
    test = make(tmp_path / "test", {"test.txt": b"".join(GOOD.splitlines(keepends=True)[:30])})
    settings = {"decontaminate": [{"source": str(test)}]} if "contaminated" in dropped else {}
    manifest = ingest(make(tmp_path / "data", {name: data}), **settings)
    facts = manifest.facts
    assert sum(facts["documents"].values()) == kept
    assert facts["dropped"] == dropped and facts["quarantined"] == 0
    assert facts["read"] == sum(facts["documents"].values()) + sum(facts["dropped"].values())
    found = ingest.dropped(manifest)
    assert len(found) == sum(facts["dropped"].values()) and all(r["location"] and r["reason"] for r in found)


def test_strangers_in_a_folder_are_told_and_passed_over(ingest, tmp_path, capsys):
    """Told in each run, and no part of the corpus: it stays the same as they come and go."""
    folder = make(tmp_path / "data", {"a.txt": GOOD, "b.txt": GOOD.upper(), "c.csv": b"text\n" + GOOD})
    before = ingest(folder, quarantine=0)
    make(folder / "more", {"notes.docx": b"PK", "photo.png": b"\x89PNG"})
    after = ingest(folder, quarantine=0)
    assert after.reference == before.reference and ingest.reused
    expected = "passed over 2: 2 files of unknown endings (notes.docx, photo.png)"
    assert expected in ingest.notices and expected in capsys.readouterr().out
