"""A corpus of images: decoded, compared by what they show, kept apart from what is tested."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from components.lib.core.errors import DataError
from components.lib.data import correlation, images
from tests.bad_input.broken import tarred
from tests.made.corpora import nonsense
from tests.made.ingesting import Ingestion
from tests.made.near_copies import near_copies


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


def signatures(found: list[np.ndarray]) -> np.ndarray:
    return correlation.signatures(
        [correlation.shrunk(one if one.ndim == 3 else one[..., None]) for one in found]
    )


def part(seed: int) -> np.ndarray:
    """Views of one part under light noise, each with a scratch of its own."""
    rng, y, x = np.random.default_rng(seed), *np.mgrid[:96, :96]
    view = 90 + 60 * (np.hypot(x - 48, y - 48) < 36) + 40 * (np.hypot(x - 48, y - 48) < 12)
    angle, at = rng.uniform(0, np.pi), rng.uniform(20, 76, 2)
    along = (x - at[0]) * np.cos(angle) + (y - at[1]) * np.sin(angle)
    across = (x - at[0]) * np.sin(angle) - (y - at[1]) * np.cos(angle)
    view = view - 70 * ((np.abs(across) < 1.5) & (np.abs(along) < 14))
    return np.clip(view + rng.normal(0, 2, view.shape), 0, 255).astype(np.uint8)


def disc(seed: int) -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    inside = np.hypot(x - 32, y - 32) < 20
    return np.where(inside[..., None], np.random.default_rng(seed).integers(0, 256, 3), 255).astype(np.uint8)


def fundus(seed: int) -> np.ndarray:
    """The same orange disc, other vessels."""
    rng, y, x = np.random.default_rng(seed), *np.mgrid[:128, :128]
    red = np.where(np.hypot(x - 64, y - 64) < 60, 200.0, 0.0)
    for _ in range(6):
        turn, begin = rng.uniform(-0.03, 0.03), rng.uniform(0, 2 * np.pi)
        for r in range(4, 58):
            angle = begin + turn * r
            red[(np.hypot(x - 64 - r * np.cos(angle), y - 64 - r * np.sin(angle)) < 2) & (red > 0)] = 90
    return np.stack([red, red * 0.5, red * 0.2], axis=2).astype(np.uint8)


@pytest.mark.parametrize("made", [part, disc, fundus])
def test_what_is_alike_and_no_copy_stays_and_copies_of_it_go(made):
    given = [made(seed) for seed in range(60)]
    ids = np.random.default_rng(1).integers(0, 2**62, (180, 2)).astype(np.uint64)
    again = near_copies(ids[:60], signatures(given), correlation.likeness(0.995))
    assert again.sum() <= 6, "two random colours of 60 may be as good as the same"
    half = [np.asarray(Image.fromarray(one).resize((48, 48), Image.Resampling.BILINEAR)) for one in given]
    worse = [images.decode(encoded(one, "JPEG", quality=75)) for one in given]
    again = near_copies(ids, signatures([*given, *half, *worse]), correlation.likeness(0.995))
    assert 114 <= again.sum() <= 128


def test_likeness_does_not_chain():
    """Each view is like its neighbours, and the first and last are not alike."""
    y, x = np.mgrid[:64, :64]
    views = [np.where(np.hypot(x - 20 - n / 2, y - 32) < 12, 220, 40).astype(np.uint8) for n in range(48)]
    found, ids = signatures(views), np.arange(96, dtype=np.uint64).reshape(48, 2)
    again = near_copies(ids, found, correlation.likeness(0.95))
    alike = np.array([[correlation.similarity(a[None], b[None])[0] >= 0.95 for a in found] for b in found])
    assert all(alike[n, n + 1] for n in range(47)) and not alike[0, 47]
    kept = np.flatnonzero(~again)
    assert len(kept) > 5 and not alike[np.ix_(kept, kept)][~np.eye(len(kept), dtype=bool)].any()
    assert all(alike[n, kept[kept < n]].any() for n in np.flatnonzero(again))


@pytest.mark.parametrize("like", [range(100), [0] * 400])
def test_near_copies_are_those_of_a_comparison_of_all_pairs(like):
    """Beyond the reach of the image that they are like, too."""
    rng = np.random.default_rng(0)
    base, noise = rng.normal(size=(200, 32, 32)), rng.normal(size=(len(like), 32, 32))
    noise *= np.linspace(0, 0.4, len(like))[:, None, None]
    small = np.concatenate([base, base[list(like)] + noise]) * 30 + 128
    found = signatures(list(np.clip(small, 0, 255).astype(np.uint8)))
    count = len(found)
    ids = rng.permutation(count).astype(np.uint64)[:, None].repeat(2, axis=1)
    kept: list[int] = []
    for n in np.argsort(ids[:, 0]):
        if not (correlation.similarity(found[kept], found[[n] * len(kept)]) >= 0.98).any():
            kept.append(n)
    again = near_copies(ids, found, correlation.likeness(0.98))
    assert abs(int(again.sum()) - (count - len(kept))) <= 1
    assert near_copies(ids[:1], found[:1], correlation.likeness(0.98)).tolist() == [False]
    assert near_copies(ids[:0], found[:0], correlation.likeness(0.98)).tolist() == []
    assert correlation.alike(found[:3], found[kept], 0.98).all()


def test_tar_shards_are_read_by_every_modality_and_what_is_left_is_told(ingest, tmp_path):
    """Depth maps beside the images are not images; captions are a text's."""
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
    told = "40 members of tar shards that are not an image, recording, text, class or .json (0000.depth.png"
    assert told in ingest.notices[0]
    manifest = ingest(shard, format="webdataset", quarantine=0)
    assert sorted(ingest.texts(manifest)) == sorted(nonsense(40, "c"))
    other = ingest(shard, modality="image", format="webdataset", image="depth.png", quarantine=0)
    assert set(kept(ingest, other)) == {data for name, data in members.items() if "depth" in name}
