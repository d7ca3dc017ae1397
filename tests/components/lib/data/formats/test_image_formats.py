"""Images in folders, rows, arrays and archives become records with an image and a class."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from components.lib.core.errors import DataError, MissingError, TrunklineError
from components.lib.data import images
from components.lib.data.formats import Rejected
from components.lib.data.sources import chosen, read_records

GIVEN = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 1), dtype=np.uint8)
CLASSES = list("abcabc")
FILES = [images.png(pixels) for pixels in GIVEN]


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def folder(path: Path) -> dict:
    for number, (data, label) in enumerate(zip(FILES, CLASSES, strict=True)):
        (path / label).mkdir(exist_ok=True)
        (path / label / f"{number}.png").write_bytes(data)
    return {"uri": str(path)}


def archive(path: Path) -> dict:
    with zipfile.ZipFile(path / "set.zip", "w") as file:
        for number, (data, label) in enumerate(zip(FILES, CLASSES, strict=True)):
            file.writestr(f"train/{label}/{number}.png", data)
    return {"uri": f"{path / 'set.zip'}!/*.png"}


def rows(path: Path) -> dict:
    lines = [
        ",".join(map(str, [*pixels.ravel(), label])) for pixels, label in zip(GIVEN, CLASSES, strict=True)
    ]
    (path / "set.csv.gz").write_bytes(gzip.compress(("p0,p1\n" + "\n".join(lines)).encode()))
    options = {"pixels": {"height": 5, "width": 4, "label": "last"}}
    return {"uri": str(path / "set.csv.gz"), "format": "pixels", "options": options}


def idx_gz(path: Path) -> dict:
    (path / "images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(GIVEN[..., 0])))
    (path / "labels").write_bytes(idx(np.array([ord(label) for label in CLASSES], np.uint8)))
    options = {"idx": {"labels": str(path / "labels")}}
    return {"uri": str(path / "images-idx3-ubyte.gz"), "format": "idx", "options": options}


def npy(path: Path) -> dict:
    (path / "a").mkdir()
    np.save(path / "a" / "x.npy", GIVEN[..., 0])
    np.save(path / "y.npy", np.array(CLASSES))
    return {"uri": str(path / "a"), "options": {"npy": {"labels": str(path / "y.npy")}}}


def npz(path: Path) -> dict:
    np.savez_compressed(path / "set.npz", x=GIVEN, y=np.array(CLASSES))
    return {"uri": str(path / "set.npz"), "options": {"npz": {"images": "x", "fields": {"label": "y"}}}}


def huggingface(path: Path) -> dict:
    column = [{"bytes": data, "path": f"{number}.png"} for number, data in enumerate(FILES)]
    parquet.write_table(pa.table({"image": column, "label": CLASSES}), path / "train.parquet")
    return {"uri": str(path / "train.parquet")}


def webdataset(path: Path) -> dict:
    with tarfile.open(path / "shard-000.tar", "w") as file:
        for number, (data, label) in enumerate(zip(FILES, CLASSES, strict=True)):
            described = json.dumps({"label": label, "size": 5}).encode()
            other = ("cls", label.encode()) if number % 2 else ("json", described)
            for ending, content in (("png", data), other):
                member = tarfile.TarInfo(f"{number:06d}.{ending}")
                member.size = len(content)
                file.addfile(member, io.BytesIO(content))
    return {"uri": str(path / "shard-000.tar"), "format": "webdataset"}


LAYOUTS = [folder, archive, rows, idx_gz, npy, npz, huggingface, webdataset]


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.__name__ for layout in LAYOUTS])
def test_every_layout_holds_the_same_images(tmp_path, layout):
    found = list(read_records(**layout(tmp_path)))
    read = {
        images.decode(images.content(record.fields["image"])).tobytes(): record.fields["label"]
        for record in found
    }
    expected = [str(ord(label)) if layout is idx_gz else label for label in CLASSES]
    assert read == {pixels.tobytes(): label for pixels, label in zip(GIVEN, expected, strict=True)}
    assert len({record.where for record in found}) == 6


def test_links_and_paths_of_an_archive_lead_nowhere(tmp_path):
    (tmp_path / "secret.png").write_bytes(FILES[0])
    with tarfile.open(tmp_path / "evil.tar", "w") as file:
        for name in ("../up.png", "/root.png"):
            member = tarfile.TarInfo(name)
            member.size = len(FILES[1])
            file.addfile(member, io.BytesIO(FILES[1]))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        file.addfile(link)
        device = tarfile.TarInfo("device.png")
        device.type = tarfile.CHRTYPE
        file.addfile(device)
    for form in ("auto", "webdataset"):
        found = list(read_records(str(tmp_path / "evil.tar"), format=form))
        assert [images.decode(record.fields["image"]).tobytes() for record in found] == [
            GIVEN[1].tobytes()
        ] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.tar", "secret.png"]


def test_rows_that_are_no_images_are_rejected_one_by_one(tmp_path):
    (tmp_path / "set.csv").write_text("1,2,3,4,x\n1,2,3,x\n1,2,3,400,x\n1,two,3,4,x\n5,6,7,8,y\n")
    options = {"pixels": {"height": 2, "width": 2, "label": "last"}}
    found = list(read_records(str(tmp_path / "set.csv"), format="pixels", options=options))
    assert [isinstance(record, Rejected) for record in found] == [False, True, True, True, False]
    assert "3 pixels, not 4" in found[1].reason and "out of range" in found[2].reason


def test_a_record_without_an_image_is_rejected(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        member = tarfile.TarInfo("1.cls")
        member.size = 1
        file.addfile(member, io.BytesIO(b"7"))
    (found,) = read_records(str(tmp_path / "a.tar"), format="webdataset")
    assert isinstance(found, Rejected) and "no image" in found.reason


def pickled(path: Path) -> None:
    np.save(path, np.array([{}], object), allow_pickle=True)


def saved() -> bytes:
    file = io.BytesIO()
    np.save(file, GIVEN)
    return file.getvalue()


def bomb(path: Path) -> None:
    np.savez_compressed(path, images=np.zeros((70, 1000, 1000), np.uint8))


BROKEN = {
    "pickled.npy": (pickled, DataError, "never opened"),
    "flat.npy": (lambda path: np.save(path, np.zeros(5)), DataError, "not an array of images"),
    "short.npy": (lambda path: path.write_bytes(saved()[:-9]), DataError, "short"),
    "text.npy": (lambda path: path.write_text("hello"), DataError, "not an array of NumPy"),
    "text.idx": (lambda path: path.write_text("hello"), DataError, "not an IDX file"),
    "other.npz": (lambda path: np.savez(path, x=GIVEN), MissingError, "known: x"),
    "bomb.npz": (bomb, DataError, "bomb"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_arrays_are_told(tmp_path, name):
    make, kind, says = BROKEN[name]
    make(tmp_path / name)
    with pytest.raises(kind) as caught:
        list(read_records(str(tmp_path / name)))
    assert says in str(caught.value) and isinstance(caught.value, TrunklineError)


def test_a_share_is_chosen_by_the_place_alone():
    places = [f"file:{number}" for number in range(4000)]
    fifth = {place for place in places if chosen(place, 0.2)}
    assert 0.17 < len(fifth) / 4000 < 0.23 and fifth < {place for place in places if chosen(place, 0.5)}
    assert all(chosen(place, 1.0) and not chosen(place, 0.0) for place in places)
