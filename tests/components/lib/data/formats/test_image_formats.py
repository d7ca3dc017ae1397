"""Images in folders, rows, arrays and archives become records with an image and a class."""

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
from components.lib.data.formats import Layout, Record, Rejected
from components.lib.data.listing import PassedOver
from components.lib.data.sources import chosen, read_records

GIVEN = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 1), dtype=np.uint8)
CLASSES = list("abcabc")
NUMBERS = np.array([ord(label) for label in CLASSES], np.uint8)
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


def mnist(path: Path) -> dict:
    """Two files of IDX, compressed, with names that have no ending."""
    images, labels = path / "train-images-idx3-ubyte.gz", path / "train-labels-idx1-ubyte.gz"
    images.write_bytes(gzip.compress(idx(GIVEN[..., 0])))
    labels.write_bytes(gzip.compress(idx(NUMBERS)))
    return {"uri": str(images), "format": "idx", "options": {"idx": {"labels": str(labels)}}}


def cifar_10_1(path: Path) -> dict:
    """Arrays of images and of classes, side by side."""
    np.save(path / "cifar10.1_v6_data.npy", GIVEN)
    np.save(path / "cifar10.1_v6_labels.npy", NUMBERS.astype(np.int32))
    options = {"npy": {"labels": str(path / "cifar10.1_v6_labels.npy")}}
    return {"uri": str(path / "cifar10.1_v6_data.npy"), "options": options}


def medmnist(path: Path) -> dict:
    """All splits in one archive; a class is an array of one number."""
    arrays = {
        "train_images": GIVEN[..., 0],
        "train_labels": NUMBERS[:, None],
        "test_images": GIVEN[:2, ..., 0],
    }
    np.savez_compressed(path / "organmnist.npz", **arrays)
    options = {"npz": {"images": "train_images", "fields": {"label": "train_labels"}}}
    return {"uri": str(path / "organmnist.npz"), "options": options}


def huggingface(path: Path) -> dict:
    column = [{"bytes": data, "path": f"{number}.png"} for number, data in enumerate(FILES)]
    parquet.write_table(pa.table({"image": column, "label": CLASSES}), path / "train.parquet")
    return {"uri": str(path / "train.parquet")}


def shard(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return str(path)


def webdataset(path: Path) -> dict:
    members = {}
    for number, (data, label) in enumerate(zip(FILES, CLASSES, strict=True)):
        described = json.dumps({"label": label, "size": 5}).encode()
        other = ("cls", label.encode()) if number % 2 else ("json", described)
        members |= {f"{number:06d}.png": data, f"{number:06d}.{other[0]}": other[1]}
    return {"uri": shard(path / "shard-000.tar", members), "format": "webdataset"}


LAYOUTS = [folder, archive, rows, mnist, cifar_10_1, medmnist, huggingface, webdataset]


@pytest.mark.parametrize("layout", LAYOUTS, ids=[layout.__name__ for layout in LAYOUTS])
def test_every_layout_holds_the_same_images(tmp_path, layout):
    given = layout(tmp_path)
    found = list(read_records(given.pop("uri"), Layout(**given)))
    read = {
        images.decode(images.content(record.fields["image"])).tobytes(): record.fields["label"]
        for record in found
    }
    expected = map(str, NUMBERS) if layout in (mnist, cifar_10_1, medmnist) else CLASSES
    assert read == {pixels.tobytes(): label for pixels, label in zip(GIVEN, expected, strict=True)}
    assert len({record.where for record in found}) == 6


def test_links_and_paths_of_an_archive_lead_nowhere(tmp_path):
    (tmp_path / "secret.png").write_bytes(FILES[0])
    shard(tmp_path / "evil.tar", {"../up.png": FILES[1], "/root.png": FILES[1]})
    with tarfile.open(tmp_path / "evil.tar", "a") as file:
        link, device = tarfile.TarInfo("link.png"), tarfile.TarInfo("device.png")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "secret.png")
        device.type = tarfile.CHRTYPE
        file.addfile(link)
        file.addfile(device)
    for form in ("auto", "webdataset"):
        passed = PassedOver()
        found = list(read_records(str(tmp_path / "evil.tar"), Layout(form), passed=passed))
        read = [images.decode(one.fields["image"]).tobytes() for one in found if isinstance(one, Record)]
        assert read == [GIVEN[1].tobytes()] * 2
        assert passed.counts == {"links, devices or pipes": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["evil.tar", "secret.png"]


SHARD = {
    "0.depth.png": FILES[1],
    "0.jpg": FILES[0],
    "0.txt": b"a caption",
    "0.cls": b"a\n",
    "0.json": b'{"size": 5, "text": "another text", "label": "c"}',
    "0.mp3": b"sound",
    "1.seg.png": FILES[2],
    "1.caption": b"the only image",
    "in/2.png": FILES[3],
    "in/2.jpg": FILES[4],
    "in/2.json": b"[1]",
    "3.txt": b"no image at all",
    "._3.txt": b"of a Mac",
    "4.png": FILES[5],
    "4.PNG": FILES[5],
    "5.json": b"{",
    "5.png": FILES[5],
    "6.txt": b"\xff",
}
FIRST = {"image": FILES[0], "depth.png": FILES[1], "text": "a caption", "label": "a", "audio": b"sound"}


def test_a_tar_shard_hands_over_every_member_of_a_record(tmp_path):
    passed = PassedOver()
    found = list(read_records(shard(tmp_path / "s.tar", SHARD), Layout("webdataset"), passed=passed))
    place = len(f"{tmp_path}/s.tar!/")
    assert {one.where[place:]: one.fields for one in found if isinstance(one, Record)} == {
        "0": {**FIRST, "size": 5, "json.text": "another text", "json.label": "c"},
        "1": {"image": FILES[2], "caption": "the only image"},
        "in/2": {"image": FILES[3], "jpg": FILES[4], "json": [1]},
        "3": {"text": "no image at all"},
        "4": {"image": FILES[5]},
    }
    kinds = "members of tar shards that are not an image, recording, text, class or .json"
    assert {name[place:] for name in passed.examples[kinds]} == {"0.depth.png", "in/2.jpg"}
    assert passed.counts == {kinds: 2, "hidden files": 1}
    broken = {one.where[place:]: one.reason for one in found if type(one) is Rejected}
    assert broken.pop("4.PNG") == "a member of this name stands before it"
    assert {place: reason.partition(":")[0] for place, reason in broken.items()} == {
        "5": "its .json cannot be read",
        "6": "its .txt cannot be read",
    }


def test_rows_that_are_no_images_are_rejected_one_by_one(tmp_path):
    (tmp_path / "set.csv").write_text("1,2,3,4,x\n1,2,3,x\n1,2,3,400,x\n1,two,3,4,x\n5,6,7,8,y\n")
    options = {"pixels": {"height": 2, "width": 2, "label": "last"}}
    found = list(read_records(str(tmp_path / "set.csv"), Layout("pixels", options)))
    assert [isinstance(record, Rejected) for record in found] == [False, True, True, True, False]
    assert "3 pixels, not 4" in found[1].reason and "out of range" in found[2].reason


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


STRANGE = {  # an archive of arrays that hold no images as they stand
    "channels first": (
        {"images": np.zeros((3, 3, 24, 24), np.float32)},
        "move the axis of channels to the end",
    ),
    "transparency": ({"images": np.zeros((3, 8, 8, 4), np.uint8)}, "1 or 3"),
    "words": ({"images": np.full((3, 8, 8), "a")}, "whole numbers"),
    "other names": (
        {"train_images": np.zeros((3, 8, 8), np.uint8), "train_labels": np.zeros(3)},
        "train_images",
    ),
    "one image": ({"images": np.zeros((8, 8), np.uint8)}, "(images, height, width)"),
    "objects": ({"images": np.array([{}] * 3)}, "never opened"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_arrays_that_are_no_images_say_what_is_expected(tmp_path, name):
    arrays, told = STRANGE[name]
    np.savez(tmp_path / "a.npz", **arrays)
    try:
        found = [record for record in read_records(str(tmp_path / "a.npz")) if isinstance(record, Rejected)]
        assert len(found) == 3 and all(told in record.reason for record in found)
    except TrunklineError as error:
        assert told in str(error)


def test_classes_of_arrays_are_whole_numbers_and_words(tmp_path):
    """What is none is handed on as it is, for the task to refuse."""
    values = {
        "a": np.array([[1], [2]]),
        "b": np.array([b"x", b"y"]),
        "c": np.array([0.5, np.nan]),
        "d": ["u", "v"],
    }
    np.savez(tmp_path / "a.npz", images=np.zeros((2, 8, 8), np.uint8), **values)
    options = {"npz": {"fields": {name: name for name in values}}}
    one, two = read_records(str(tmp_path / "a.npz"), Layout(options=options))
    assert [one.fields[name] for name in values] == ["1", "x", 0.5, "u"]
    assert two.fields["a"] == "2" and np.isnan(two.fields["c"])


def test_a_file_of_classes_is_not_taken_for_images(tmp_path):
    (tmp_path / "labels.idx").write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 3) + b"\1\2\3")
    with pytest.raises(DataError, match=r"classes, not of images[\s\S]*format_options.idx.labels"):
        list(read_records(str(tmp_path / "labels.idx")))


def test_a_folder_as_mnist_comes_has_its_images_with_their_classes(tmp_path):
    mnist(tmp_path)
    passed = PassedOver()
    found = list(read_records(str(tmp_path), Layout(fields=("image", "label")), passed=passed))
    assert [record.fields["label"] for record in found] == [str(number) for number in NUMBERS]
    assert [images.decode(record.fields["image"]).tobytes() for record in found] == [
        one.tobytes() for one in GIVEN
    ]
