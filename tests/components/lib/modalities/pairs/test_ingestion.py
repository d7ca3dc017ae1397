"""Pairs as data sets write them become the same documents, and no half of one is lost unseen."""

import io
import json
import pickle
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from components.ingestion import config as ingestion_config
from components.ingestion.record_reader import Beside, Fetched, RecordReader, joins, layout_of
from components.lib import modalities
from components.lib.core.errors import DataError
from components.lib.data import images
from components.lib.data.listing import PassedOver
from components.lib.data.sifting import sift
from components.lib.data.sources import fetch, find_all
from components.lib.modalities.pairs import ingestion as pairs
from components.lib.modalities.pairs.captions import captions

CAPTIONS = {"a": ["a red apple", "fruit on a table"], "b.1": ["a green pear"], "c": []}


def png(seed: int, side: int = 16) -> bytes:
    return images.png(np.random.default_rng(seed).integers(0, 255, (side, side, 3), np.uint8))


FILES = {name: png(number) for number, name in enumerate(CAPTIONS)}


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def rows(name: str = "file_name") -> list[dict]:
    return [{name: f"{stem}.png", "text": text} for stem, texts in CAPTIONS.items() for text in texts]


def pictures(folder: Path, **more: str) -> Path:
    folder.mkdir()
    for stem, data in FILES.items():
        (folder / f"{stem}.png").write_bytes(data)
    for name, text in more.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def jsonl_beside(folder: Path) -> Path:
    lines = [*rows(), {"file_name": "absent.png", "text": "half of a pair"}]
    return pictures(folder / "p", captions__jsonl="\n".join(map(json.dumps, lines)))


def csv_beside(folder: Path) -> Path:
    lines = ["image,caption", *(f"{row['image']},{row['text']}" for row in rows("image"))]
    return pictures(folder / "p", captions__csv="\n".join(lines))


def coco(folder: Path) -> Path:
    known = [{"id": number, "file_name": f"{stem}.png"} for number, stem in enumerate(CAPTIONS)]
    notes = [
        {"id": 7, "image_id": number, "caption": text}
        for number, texts in enumerate(CAPTIONS.values())
        for text in texts
    ]
    return pictures(folder / "p", coco__json=json.dumps({"images": known, "annotations": notes}))


def zipped(folder: Path) -> Path:
    path = folder / "pairs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for stem, data in FILES.items():
            archive.writestr(f"images/{stem}.png", data)
        archive.writestr("names.jsonl", "\n".join(map(json.dumps, rows())))
    return path


def shard(folder: Path) -> Path:
    members = {}
    for stem, texts in CAPTIONS.items():
        members[f"{stem}.png"] = FILES[stem]
        if len(texts) == 1:
            members[f"{stem}.txt"] = texts[0].encode()
        elif texts:
            members[f"{stem}.json"] = json.dumps({"text": texts}).encode()
    return tar(folder / "pairs.tar", members)


def hub(folder: Path) -> Path:
    """As datasets writes images and lists of captions."""
    path = folder / "pairs.parquet"
    columns = {
        "image": [{"bytes": data, "path": f"{stem}.png"} for stem, data in FILES.items()],
        "text": [[{"raw": text} for text in texts] for texts in CAPTIONS.values()],
    }
    parquet.write_table(pa.table(columns), path)
    return path


FORMS = {
    "jsonl beside images": (jsonl_beside, {}, {"annotations of images that are not there": 1}),
    "csv beside images": (csv_beside, {"text": "caption"}, {}),
    "captions of COCO": (coco, {}, {}),
    "an archive with a table": (zipped, {}, {}),
    "tar shards": (shard, {"format": "webdataset"}, {}),
    "features of datasets": (hub, {}, {}),
}


def taken(source: Path, **settings):
    """What ingestion makes of a source: cleaned documents, rejections, and what was passed over."""
    config = ingestion_config.configured({"modality": "pairs", "sources": [str(source)], **settings})
    passed, beside = PassedOver(), [] if joins(config) else None
    objects = sift(find_all(config.sources, passed), layout_of(config, config), passed, beside)
    notes = Beside([one.name for one in objects], beside or ()).fetched(source.parent)
    reader = RecordReader(config, 1 << 20, notes)
    fetched = (Fetched(one, fetch(one, source.parent), "", one.size) for one in objects)
    batches = [batch for asked in (*enumerate(fetched), None) for batch in reader(asked)]
    for _, one in (entry for batch in batches for entry in batch.passed):
        passed.merge(one.table)
    rejected = [item for batch in batches for _, item in batch.rejects]
    cleaner = pairs.cleaner(config.own, [])
    cleaned = [cleaner(pickle.loads(batch.payloads)) for batch in batches]
    return cleaned, rejected, passed.counts


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_documents(form, tmp_path):
    make, settings, told = FORMS[form]
    cleaned, rejected, passed = taken(make(tmp_path), **settings)
    found = {one.payloads[row][1]: one.reasons[row] for one in cleaned for row in range(len(one.payloads))}
    assert found == {"\n".join(texts): "" if texts else "half: no caption" for texts in CAPTIONS.values()}
    kept = [data for one in cleaned for data, text in one.payloads if text == "a green pear"]
    assert kept == [FILES["b.1"]] and rejected == [] and passed == told
    counts = Counter(int(n) for one in cleaned for n in one.measures["captions"])
    assert counts == {2: 1, 1: 1, 0: 1}


def test_dots_in_the_names_of_a_shard_are_one_record_a_key_or_refused_by_name(tmp_path):
    dotted = {
        f"x.{n}.{end}": FILES["a"] if end == "png" else b"one" for n in (1, 2) for end in ("png", "txt")
    }
    cleaned, rejected, _ = taken(tar(tmp_path / "d.tar", dotted), format="webdataset")
    assert [text for one in cleaned for _, text in one.payloads] == ["one", "one"] and rejected == []
    doubtful = {"y.1.png": FILES["a"], "y.2.png": FILES["c"], "y.txt": b"whose?"}
    cleaned, rejected, _ = taken(tar(tmp_path / "e.tar", doubtful), format="webdataset")
    assert [one.reasons for one in cleaned] == [["half: no image"]] and rejected == []


SMALL = modalities.load("pairs", "settings").Ingestion()
BAD = {  # payload -> how it ends: a reason, or why it is broken
    "half without caption": ((png(1), ""), "half: no caption"),
    "half without image": ((b"", "an apple"), "half: no image"),
    "a file name": ((png(1), "DSC_0042.JPG"), "file_name: it is the name of a file"),
    "the number of a picture": ((png(1), "IMG_20260101"), "file_name: it is the number of a picture"),
    "no words": ((png(1), "1234 5678 90"), "letters: "),
    "far too long": ((png(1), "word " * 300), "length: "),
    "flat": ((images.png(np.zeros((16, 16, 3), np.uint8)), "black"), "flat: "),
    "broken": ((png(1)[:60], "an apple"), "broken"),
    "bomb": (
        (images.png(np.zeros((4, 4, 1), np.uint8)).replace(b"\0\0\0\4\0\0\0\4", b"\0\1\0\0\0\1\0\0", 1), "x"),
        "broken",
    ),
    "no image at all": ((b"%PDF-1.7", "an apple"), "broken"),
    "controls alone": ((png(1), "\x00\x07\ud800"), "half: no caption"),
    "controls": ((png(1), "an\x00 app\x07le\ufeff"), ""),
    "one of two stays": ((png(1), "a pear\nDSC_0042.JPG"), ""),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_pair_is_set_aside_with_a_reason(case):
    payload, expected = BAD[case]
    clean = pairs.cleaner(SMALL, [])([(png(9), "before"), payload, (png(8), "behind")])
    assert len(clean.payloads) + len(clean.broken) == 3
    if expected == "broken":
        assert list(clean.broken) == [1] and len(clean.broken[1]) > 10
        return
    assert clean.reasons[1].startswith(expected) and bool(clean.reasons[1]) == bool(expected)
    assert clean.reasons[::2] == ["", ""] and clean.payloads[0][1] == "before"
    assert clean.payloads[1][1] in ("", "an apple", "a pear", "black")
    assert all(len(column) == 3 for column in clean.measures.values()) and len(clean.signatures) == 3


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, []),
        ("  two\n lines ", ["two lines"]),
        (["one", "one", "", "two"], ["one", "two"]),
        ([{"raw": "one", "sentid": 3}, {"caption": "two"}], ["one", "two"]),
        ('["one", "two"]', ["one", "two"]),
        ('["no list', ['["no list']),
        (["e\u0301\x00"], ["\u00e9"]),
        (3, "not text"),
        ([["nested"]], "not text"),
        ([{"tokens": ["a"]}], "not text"),
        (["x"] * 1001, "too many"),
        ("x" * 100_001, "too long"),
    ],
)
def test_captions_are_a_text_or_a_list_of_texts(value, found):
    if isinstance(found, str):
        with pytest.raises(DataError, match=found):
            captions(value, normal=True)
    else:
        assert captions(value, normal=True) == found


def test_an_evaluation_set_keeps_out_its_images_and_where_it_has_none_its_texts(tmp_path):
    for name, payload in (("images", (png(1), "a held-out pear")), ("texts", (b"", "A  pear"))):
        (tmp_path / name).mkdir()
        collector = pairs.indexer(SMALL)
        collector.add(payload)
        assert collector.save(tmp_path / name) == 1
    cleaner = pairs.cleaner(SMALL, [tmp_path / "images", tmp_path / "texts"])
    given = [(png(1), "another caption"), (png(2), "A pear\nelse"), (png(3), "a held-out pear")]
    assert cleaner(given).shared.tolist() == [2, 2, 0]
