"""Images of more than 8 bits: one range of values for a corpus, repeated wherever images are read."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from components.lib.core.errors import ConfigErrors, DataError
from components.lib.data.formats import Record
from components.lib.modalities.image.canvas import PROCESSOR, Canvas
from components.lib.modalities.image.labelled import Reader
from components.lib.modalities.image.pixels import PixelShards
from components.lib.storage.stage import Context
from components.tokenization.config import configured
from components.tokenization.run import run
from tests.bad_input.broken import exif, png

SIDE = 16


def scene(seed: int, most: float) -> np.ndarray:
    """Smooth values from 0 to `most`."""
    small = np.random.default_rng(seed).random((4, 4)).astype(np.float32)
    image = Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(image) * most


def saved(values: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def folder(path, files: dict[str, bytes]) -> str:
    path.mkdir(exist_ok=True)
    for name, data in files.items():
        (path / name).write_bytes(data)
    return str(path)


def twelve(count: int, start: int = 0, most: int = 4000) -> dict[str, bytes]:
    """Twelve bits in sixteen."""
    return {f"{i:03d}.png": saved(scene(i, most).astype(np.uint16)) for i in range(start, start + count)}


def tokens(ingest, **settings):
    config = configured({"modality": "image", "height": SIDE, "width": SIDE, **settings})
    made = run(
        config, Context(ingest.store), corpus=ingest.folder / "corpus.json", tokens=ingest.folder / "t.json"
    )
    return made, Canvas.open(ingest.store.open_folder(made, "tokenizer/"))


def test_one_range_is_stated_and_repeated_wherever_images_are_read(ingest, tmp_path):
    dark = {"dark.png": saved(scene(99, 200).astype(np.uint16))}  # never scaled by its own maximum
    manifest = ingest(folder(tmp_path / "data", {**twelve(20), **dark}), modality="image")
    assert manifest.facts["range"] == [0, 4095] and manifest.facts["bits"] == {"16": 21}
    (told,) = manifest.facts["notices"]
    assert (
        told.startswith("21 images have more than 8 bits: values from 0 to 4095") and told in ingest.notices
    )
    assert told in (tmp_path / "card.html").read_text()
    made, canvas = tokens(ingest)
    assert tuple(made.facts["range"]) == canvas.range == (0, 4095)
    stored = np.concatenate(
        [
            PixelShards(ingest.store, made, s).gather(np.arange(made.facts["images"][s]))
            for s in ("train", "validation")
        ]
    )
    assert len(stored) == 21 and (np.ptp(stored.reshape(21, -1), axis=1) > 5).all() and stored.max() > 200
    reader, notices = Reader(canvas), []
    (tmp_path / "model").mkdir()
    reader.save(tmp_path / "model")
    again = Reader.open(tmp_path / "model")  # as a branch is served
    data = twelve(1)["000.png"]
    expected = np.rint(scene(0, 4000).astype(np.uint16) * 255.0 / 4095)
    (read,) = again.sized([reader.value(Record({"image": data}, "a"), "image", notices.append)])
    assert (read[:, :, 0] == expected).all() and not notices and read.tolist() in stored.tolist()
    (served,) = again.served([base64.b64encode(data).decode()])
    assert served == data
    reader.value(
        Record({"image": saved(np.full((SIDE, SIDE), 5000, np.uint16))}, "a"), "image", notices.append
    )
    assert "beyond the trunk's range, 0 to 4095" in notices[0]


def test_fractions_and_negative_numbers_have_the_range_of_all_images(ingest, tmp_path):
    heights = {f"{i}.tif": saved(scene(i, 2500) + 200, "TIFF") for i in range(12)}
    found = ingest(folder(tmp_path / "data", heights), modality="image", validation=0).facts["range"]
    values = np.stack([scene(i, 2500) + 200 for i in range(12)])
    assert found == pytest.approx([values.min(), values.max()])
    holes = scene(90, 2000) + 300
    holes[3:5] = np.nan
    given = folder(tmp_path / "data", {"holes.tif": saved(holes, "TIFF")})
    manifest = ingest(given, modality="image", validation=0)
    assert manifest.facts["range"] == found and manifest.facts["documents"]["train"] == 13
    assert any("1 images have pixels that are not numbers" in told for told in manifest.facts["notices"])
    read = Canvas(SIDE, SIDE, 1, range=tuple(found)).read(saved(holes, "TIFF"))
    assert (read[3:5] == 0).all() and (read[5:] > 0).all()
    np.save(tmp_path / "shares.npy", np.stack([scene(i, 1.0) for i in range(12)]))
    assert ingest(tmp_path / "shares.npy", modality="image", validation=0).facts["range"] == [0, 1]
    np.save(tmp_path / "scans.npy", np.stack([scene(i, 3000) - 1000 for i in range(12)]).astype(np.int16))
    low, high = ingest(tmp_path / "scans.npy", modality="image", validation=0).facts["range"]
    assert low < -900 and high > 1500


def test_a_given_range_cuts_off_and_drops_what_is_flat_in_it_and_tells(ingest, tmp_path):
    files = twelve(20) | {f"low{i}.png": saved(scene(i, 60).astype(np.uint16)) for i in range(30, 33)}
    source = folder(tmp_path / "data", files)
    manifest = ingest(source, modality="image", range=[0, 2000.0])
    assert manifest.facts["range"] == [0, 2000] and manifest.facts["dropped"] == {}
    assert any("beyond the range" in told for told in manifest.facts["notices"])
    wide = ingest(source, modality="image", range=[0, 65535])
    assert wide.facts["dropped"] == {"flat": 3} and wide.reference != manifest.reference
    assert all("in the range" in row["reason"] for row in ingest.dropped(wide))
    assert not any("beyond" in told for told in wide.facts["notices"])
    with pytest.raises(ConfigErrors, match="no range"):
        ingest(source, modality="image", range=[9, 3])


def test_images_of_8_bits_are_as_they_are_and_need_no_range(ingest, tmp_path):
    plain = {f"p{i}.png": saved(scene(i, 255).astype(np.uint8)) for i in range(20)}
    manifest = ingest(folder(tmp_path / "data", plain), modality="image")
    assert "range" not in manifest.facts and not manifest.facts["notices"]
    _, canvas = tokens(ingest)
    with pytest.raises(DataError, match=r"no range is known[\s\S]*ingestion.range"):
        Reader(canvas).value(Record({"image": twelve(1)["000.png"]}, "a"), "image", print)
    mixed = ingest(folder(tmp_path / "data", twelve(5, 50)), modality="image")
    assert any("20 images have 8 bits" in told for told in mixed.facts["notices"])
    _, canvas = tokens(ingest)
    assert (canvas.read(plain["p3.png"])[:, :, 0] == scene(3, 255).astype(np.uint8)).all()


def test_a_trunk_that_goes_on_with_another_corpus_keeps_its_range_and_tells(ingest, tmp_path):
    ingest(folder(tmp_path / "data", twelve(20)), modality="image")
    _, canvas = tokens(ingest)
    canvas.save(tmp_path)
    ingest(folder(tmp_path / "more", twelve(20, 0, 60_000)), modality="image")
    made, again = tokens(ingest, canvas=str(tmp_path / PROCESSOR))
    assert again.range == canvas.range
    assert made.facts["notices"] == [
        "images are read with the trunk's range, 0 to 4095; the corpus has 0 to 65535"
    ]


def test_a_corpus_that_goes_on_keeps_the_range_of_the_first(ingest, tmp_path):
    first = ingest(folder(tmp_path / "data", twelve(20)), modality="image")
    folder(tmp_path / "data", twelve(10, 100, 60_000))
    more = ingest(str(tmp_path / "data"), modality="image", since=first.reference)
    assert more.facts["range"] == first.facts["range"] == [0, 4095]
    assert any("beyond the range" in told for told in more.facts["notices"])
    assert any("of the earlier corpus" in told for told in more.facts["notices"])


def test_test_images_stay_out_whatever_the_range(ingest, tmp_path):
    given = twelve(20)
    tested = folder(
        tmp_path / "test", {"a.tif": saved(scene(3, 4000).astype(np.uint16).astype(np.int32), "TIFF")}
    )
    manifest = ingest(folder(tmp_path / "data", given), modality="image", decontaminate=[{"source": tested}])
    assert manifest.facts["dropped"] == {"contaminated": 1} and manifest.facts["evaluations"][0]["found"] == 1


def test_broken_exif_and_transparent_colours_of_16_bits_are_counted(ingest, tmp_path):
    grey = Image.fromarray(scene(40, 255).astype(np.uint8))
    files = {f"{i}.png": saved(scene(i, 255).astype(np.uint8)) for i in range(20)}
    for name, orientation in (("broken", None), ("turned", 6)):
        file = io.BytesIO()
        grey.save(file, "JPEG", exif=exif(orientation))
        files[f"{name}.jpg"] = file.getvalue()
    deep = np.random.default_rng(0).integers(0, 65536, (SIDE, SIDE, 4)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in deep)
    files["colours.png"] = png(SIDE, SIDE, rows, bits=16, kind=6)
    manifest = ingest(folder(tmp_path / "data", files), modality="image", quarantine=0)
    assert manifest.facts["quarantined"] == 0 and "range" not in manifest.facts
    told = "; ".join(manifest.facts["notices"])
    assert "2 images have broken EXIF" in told and "1 images have an EXIF note" in told
    assert "1 images have 16 bits a colour and transparency" in told
