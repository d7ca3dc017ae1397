"""Columns of folders, exports of Label Studio, Git LFS pointers."""

import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.lib.data.formats import Rejected
from components.lib.data.record_layouts import labelled
from components.lib.data.sources import read_records

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 12345\n"


def result(name: str, **value: object) -> dict[str, object]:
    return {"from_name": name, "original_width": 200, "original_height": 50, "value": value}


def task(*results: object, **more: object) -> dict[str, object]:
    annotations = [{"was_cancelled": True, "result": []}, {"result": [*results]}]
    return {"id": 3, "data": {"text": "a text", "source": "s"}, "annotations": annotations, **more}


DONE = {"id": 3, "text": "a text", "source": "s"}
BOX = {"x": 10, "y": 20, "width": 5, "height": 40, "rectanglelabels": ["cat"]}
ORG, PERSON = ({"start": at, "end": at + 1, "labels": [label]} for at, label in ((0, "Org"), (2, "P")))
EXPORTS = [
    (task(result("mood", choices=["good"])), {**DONE, "mood": "good"}),
    (task(result("topics", choices=["a", "b"])), {**DONE, "topics": ["a", "b"]}),
    (
        task(result("ner", **ORG), result("ner", **PERSON)),
        {**DONE, "ner": [{"start": 0, "end": 1, "label": "Org"}, {"start": 2, "end": 3, "label": "P"}]},
    ),
    (task(result("boxes", **BOX)), {**DONE, "boxes": [{"box": [20.0, 10.0, 30.0, 30.0], "label": "cat"}]}),
    (task(result("answer", text=["a"])), {**DONE, "answer": ["a"]}),
    ({**task(), "annotations": []}, DONE),
    ({"data": "x", "annotations": "y"}, {"data": "x", "annotations": "y"}),
    ({"data": {"a": 1}, "annotations": [1, {"b": 2}]}, {"data": {"a": 1}, "annotations": [1, {"b": 2}]}),
]


@pytest.mark.parametrize(("export", "flat"), EXPORTS)
def test_an_export_of_label_studio_is_laid_flat(tmp_path, export, flat):
    assert labelled(export) == flat
    (tmp_path / "export.json").write_text(json.dumps([export, export], indent=1))
    assert [record.fields for record in read_records(str(tmp_path / "export.json"))] == [flat, flat]


def test_folders_name_columns(tmp_path):
    for part in ("label=pos/lang=de", "label=neg/lang=a%20b", "label=__HIVE_DEFAULT_PARTITION__/lang=en"):
        (tmp_path / "t" / part).mkdir(parents=True)
        parquet.write_table(pa.table({"text": [part]}), tmp_path / "t" / part / "part-0.snappy.parquet")
    found = [record.fields for record in read_records(str(tmp_path / "t"))]
    assert [(one["label"], one["lang"]) for one in found] == [(None, "en"), ("neg", "a b"), ("pos", "de")]


def test_pointers_of_git_lfs_are_told_as_such(tmp_path):
    for name in ("a.txt", "b.png", "c.parquet", "d.zip", "e.jsonl.gz"):
        (tmp_path / name).write_bytes(LFS)
    (tmp_path / "f.txt").write_text("version https://git-lfs.github.com is an address")
    found = list(read_records(str(tmp_path)))
    lost = [one for one in found if isinstance(one, Rejected) and "Git LFS pointer" in one.reason]
    assert len(lost) == 5 == len(found) - 1
