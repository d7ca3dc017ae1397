"""A corpus of images: decoded, compared by what they show, kept apart from what is tested."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from components.lib.core.errors import DataError
from components.lib.data import images
from components.lib.modalities.image import correlation
from tests.bad_input.broken import tarred
from tests.made.corpora import nonsense
from tests.made.ingesting import Ingestion


def scene(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth colours, as photographs have."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def write(folder, files: dict[str, bytes]) -> str:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return str(folder)


def scenes(count: int, start: int = 0) -> dict[str, bytes]:
    return {f"{'ab'[i % 2]}/{i:03d}.png": encoded(scene(i)) for i in range(start, start + count)}


def kept(ingest: Ingestion, manifest) -> dict[bytes, str]:
    rows = [row for split in ("train", "validation") for row in ingest.table(manifest, split).to_pylist()]
    return {row["image"]: row["label"] for row in rows}


def test_a_folder_of_classes_becomes_a_corpus(ingest, tmp_path):
    given = scenes(60)
    manifest = ingest(write(tmp_path / "data", given), modality="image")
    assert kept(ingest, manifest) == {data: name[0] for name, data in given.items()}
    facts = manifest.facts
    assert facts["modality"] == "image" and facts["read"] == 60 and facts["label"] == {"a": 30, "b": 30}
    assert facts["channels"] == {"3": 60} and sum(facts["documents"].values()) == 60
    for row in ingest.table(manifest, "validation").to_pylist():
        name = images.identity(images.decode(row["image"])).hex()
        assert row["id"] == name and int(name[16:], 16) < 0.2 * 2**64
    more = ingest(write(tmp_path / "data", scenes(20, 60)), modality="image")
    held = {row["id"] for row in ingest.table(manifest, "validation").to_pylist()}
    assert held <= {row["id"] for row in ingest.table(more, "validation").to_pylist()}
    assert ingest(str(tmp_path / "data"), modality="image").reference == more.reference
    assert ingest.reused


def test_what_shows_the_same_is_kept_once(ingest, tmp_path):
    base = scene(1000)
    given = {
        **scenes(40),
        "b/same.bmp": encoded(base, "BMP"),
        "b/same.png": encoded(base),
        "b/worse.jpg": encoded(base, "JPEG", quality=60),
        "b/smaller.png": encoded(
            np.asarray(Image.fromarray(base).resize((40, 30), Image.Resampling.BILINEAR))
        ),
        "b/brighter.png": encoded((base * 0.9).astype(np.uint8)),
    }
    manifest = ingest(write(tmp_path / "data", given), modality="image")
    assert manifest.facts["dropped"] == {"exact_duplicate": 1, "near_duplicate": 3}
    assert len(kept(ingest, manifest)) == 41
    without = ingest(str(tmp_path / "data"), modality="image", near_duplicates=0)
    assert without.facts["dropped"] == {"exact_duplicate": 1}


def test_test_images_stay_out_however_they_are_stored(ingest, tmp_path):
    given = scenes(40)
    tests = {
        "x.jpg": encoded(scene(3), "JPEG", quality=70),
        "y.png": encoded(scene(7)),
        "z.png": encoded(scene(999)),
    }
    manifest = ingest(
        write(tmp_path / "data", given),
        modality="image",
        decontaminate=[{"source": write(tmp_path / "test", tests)}],
    )
    assert manifest.facts["dropped"] == {"contaminated": 2}
    assert (
        manifest.facts["evaluations"][0]["documents"] == 3 and manifest.facts["evaluations"][0]["found"] == 1
    )
    assert not {given["b/003.png"], given["b/007.png"]} & set(kept(ingest, manifest))


def test_a_share_of_the_source_can_be_what_is_tested(ingest):
    manifest = ingest(
        "sample:shapes/train",
        modality="image",
        near_duplicates=0,
        decontaminate=[{"source": "sample:shapes/train", "share": 0.25}],
    )
    out = manifest.facts["dropped"]["contaminated"]
    assert 240 <= out <= 360 and manifest.facts["evaluations"][0]["documents"] == out


def test_rules_and_quarantine_have_reasons(ingest, tmp_path):
    given = {
        **scenes(30),
        "c/tiny.png": encoded(scene(50, 4, 20)),
        "c/strip.png": encoded(scene(51, 10, 200)),
        "c/flat.png": encoded(np.full((20, 20, 3), 7, np.uint8)),
        "c/broken.png": encoded(scene(52))[:300],
        "c/text.jpg": b"<html>not found</html>",
    }
    source = write(tmp_path / "data", given)
    with pytest.raises(DataError, match="too many records"):
        ingest(source, modality="image")
    manifest = ingest(source, modality="image", quarantine=0.1)
    assert {row["reason"].partition(":")[0] for row in ingest.dropped(manifest)} == {"size", "shape", "flat"}
    quarantined = {
        row["location"].rpartition("/")[2]: row for row in ingest.table(manifest, "quarantine").to_pylist()
    }
    assert set(quarantined) == {"broken.png", "text.jpg"} and manifest.facts["quarantined"] == 2
    assert all("cannot be decoded" in row["reason"] for row in quarantined.values())


def test_the_card_shows_pictures_and_escapes_classes(ingest, tmp_path):
    given = {f"<b>/{i}.png": encoded(scene(i)) for i in range(30)}
    manifest = ingest(write(tmp_path / "data", given), modality="image")
    text = (tmp_path / "card.html").read_text()
    assert text.count('src="data:image/png;base64,') == 30 and "<b>" not in text and "&lt;b&gt;" in text
    assert "images kept" in text and "An image" in text
    statistics = json.loads(ingest.store.open(manifest, "statistics.json").read_text())
    label, _, picture = statistics["samples"][0]["image"].rpartition("\n")
    assert label == "<b>" and images.decode(base64.b64decode(picture)).shape == (48, 64, 3)


def test_signatures_correlate_as_pictures_do():
    small = [correlation.shrunk(scene(i)) for i in range(9)]
    found = correlation.unit(correlation.signatures(small))
    expected = np.corrcoef(np.stack(small).reshape(9, -1))
    assert np.allclose(found @ found.T, expected, atol=1e-3)
    assert (correlation.signatures([np.full((16, 16), 7, np.uint8)]) == 0).all()


def test_near_copies_are_those_of_a_comparison_of_all_pairs():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(200, 256))
    noise = rng.normal(size=(100, 256)) * np.linspace(0, 0.4, 100)[:, None]
    small = np.clip(np.concatenate([base, base[:100] + noise]) * 30 + 128, 0, 255).astype(np.uint8)
    found = correlation.signatures(list(small.reshape(-1, 16, 16)))
    ids = rng.permutation(300).astype(np.uint64)[:, None].repeat(2, axis=1)
    alike = np.corrcoef(small.astype(float)) >= 0.98
    expected = [any(alike[i, j] and ids[j, 0] < ids[i, 0] for j in range(300)) for i in range(300)]
    again = correlation.near_copies(ids, found, 0.98)
    assert (again != expected).sum() <= 1 and 40 < again.sum() < 70
    assert correlation.near_copies(ids[:1], found[:1], 0.98).tolist() == [False]
    assert correlation.near_copies(ids[:0], found[:0], 0.98).tolist() == []


def test_tar_shards_are_read_by_every_modality_and_what_is_left_is_told(ingest, tmp_path):
    """Depth maps beside the images are no images; captions are a text's."""
    members = {}
    for number, caption in enumerate(nonsense(40, "c")):
        members |= {
            f"{number:04d}.depth.png": encoded(scene(number + 100)),
            f"{number:04d}.jpg": encoded(scene(number), "JPEG"),
            f"{number:04d}.txt": caption.encode(),
        }
    (tmp_path / "s.tar.gz").write_bytes(tarred(members))
    shard = str(tmp_path / "s.tar.gz")
    manifest = ingest(shard, modality="image", format="webdataset", quarantine=0)
    assert set(kept(ingest, manifest)) == {data for name, data in members.items() if name.endswith("jpg")}
    assert manifest.facts["read"] == 40 and manifest.facts["quarantined"] == 0
    told = (
        "40 members of tar shards that are no image, text, class or .json (0000.depth.png, 0001.depth.png, "
    )
    assert told in ingest.notices[0]
    manifest = ingest(shard, format="webdataset", quarantine=0)
    assert sorted(ingest.texts(manifest)) == sorted(nonsense(40, "c"))
    other = ingest(shard, modality="image", format="webdataset", image="depth.png", quarantine=0)
    assert set(kept(ingest, other)) == {data for name, data in members.items() if "depth" in name}
