from dataclasses import replace

import pytest

from components.lib.core.errors import DataError, MissingError
from components.lib.storage import artifacts
from components.lib.storage.artifacts import File, Key, Manifest

KEY = Key("tokenization", 1, {"vocabulary": 300}, {"corpus": "ingestion/ab#cd"})
FILES = (
    File("train-0.bin", 3, "a" * 64, 3),
    File("train-1.bin", 4, "b" * 64),
    File("card.html", 5, "c" * 64),
)
MANIFEST = Manifest(KEY, "file:///store/tokenization/x/y", FILES, {"tokens": 7}, {"seconds": 1.5})


def test_round_trip(tmp_path):
    path = tmp_path / "deep" / "manifest.json"
    MANIFEST.write(path)
    assert artifacts.read(path) == MANIFEST
    assert artifacts.parse(MANIFEST.to_json(), "here") == MANIFEST


def test_identity_knows_neither_place_nor_clock():
    assert replace(MANIFEST, uri="s3://elsewhere").digest == MANIFEST.digest
    assert replace(MANIFEST, measured={"seconds": 9.0}).reference == MANIFEST.reference


@pytest.mark.parametrize(
    "change",
    [
        {"facts": {"tokens": 8}},
        {"files": FILES[:2]},
        {"files": (replace(FILES[0], sha256="d" * 64), *FILES[1:])},
        {"key": replace(KEY, version=2)},
    ],
)
def test_identity_knows_everything_else(change):
    assert replace(MANIFEST, **change).digest != MANIFEST.digest


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "x"},
        {"version": 2},
        {"config": {"vocabulary": 301}},
        {"inputs": {"corpus": "ingestion/ab#ce"}},
    ],
)
def test_key_depends_on_all_it_holds(change):
    assert replace(KEY, **change).digest != KEY.digest
    assert len(KEY.digest) == 32


def test_key_does_not_depend_on_the_order_of_settings():
    one, other = Key("s", 1, {"a": 1, "b": {"c": 2, "d": 3}}), Key("s", 1, {"b": {"d": 3, "c": 2}, "a": 1})
    assert one.digest == other.digest


def test_key_refuses_what_is_not_json():
    with pytest.raises(ValueError, match="JSON"):
        _ = Key("s", 1, {"rate": float("nan")}).digest


def test_files_by_name():
    assert MANIFEST.file("card.html").bytes == 5
    assert MANIFEST.names("train-", ".bin") == ["train-0.bin", "train-1.bin"]
    with pytest.raises(MissingError) as caught:
        MANIFEST.file("train-2.bin")
    assert "train-1.bin" in caught.value.found


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": 2}', MANIFEST.to_json()[:-20], "\x00"])
def test_other_text_is_no_manifest(text):
    with pytest.raises(DataError) as caught:
        artifacts.parse(text, "here.json")
    assert caught.value.where == "here.json"


def test_no_file(tmp_path):
    with pytest.raises(MissingError):
        artifacts.read(tmp_path / "manifest.json")
