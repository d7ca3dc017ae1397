"""Labelled images for the benchmarks: Fashion-MNIST, and emoji where colours are needed.

Fashion-MNIST (Xiao et al., 2017; MIT): IDX files of Debian's dataset-fashion-mnist. Emoji: two styles of
each emoji, Noto (Apache-2.0) and Twemoji (CC BY 4.0), on white, 32 pixels; the class is its group in Unicode.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from components.lib.engine.randomness import uniform
from components.lib.modalities.image.augmentation import LUMA

FASHION = Path(os.environ.get("FASHION", "/usr/share/datasets/fashion-mnist"))
EMOJI = Path(os.environ.get("EMOJI", "build/benchmarks/emoji"))
STYLES, VERSION = ("google", "twitter"), "16.0.0"
SIDE, TESTED = 32, 0.3  # pixels of an emoji; share of the emoji that are only tested


class Missing(Exception):
    """A set is not on this machine; the text says how to get it."""


class Labelled(NamedTuple):
    """uint8 (n, height, width, channels) and classes; images behind the last label have none to be used."""

    images: np.ndarray
    labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


@cache
def fashion() -> Labelled:
    """60,000 and 10,000 grey images of 28 pixels in ten classes."""
    if not FASHION.exists():
        raise Missing(
            f"no {FASHION}: apt-get install dataset-fashion-mnist, or FASHION=<folder of IDX files>"
        )
    images, test_images = (_idx(f"{split}-images-idx3")[..., None] for split in ("train", "t10k"))
    labels, test_labels = (_idx(f"{split}-labels-idx1").astype(np.int64) for split in ("train", "t10k"))
    return Labelled(images, labels, test_images, test_labels)


@cache
def emoji() -> Labelled:
    """Two styles of 1,900 emoji in nine groups; no emoji is in both parts, in any style or skin tone."""
    files = [EMOJI / f"emoji-datasource-{style}-{VERSION}.tgz" for style in STYLES]
    if not all(file.exists() for file in files):
        names = " ".join(f"emoji-datasource-{style}@{VERSION}" for style in STYLES)
        raise Missing(
            f"no {files[0]}: mkdir -p {EMOJI}; cd {EMOJI}; npm pack {names} (or EMOJI=<that folder>)"
        )
    drawn = [_drawn(file, style) for file, style in zip(files, STYLES, strict=True)]
    known = [entry for entry in json.loads(drawn[0]["emoji.json"]) if entry["category"] != "Component"]
    groups = sorted({entry["category"] for entry in known})
    held_out = uniform(0, "emoji", np.arange(len(known))) < TESTED
    plain: dict[bool, list[tuple[np.ndarray, int]]] = {True: [], False: []}
    toned: list[np.ndarray] = []
    for entry, tested in zip(known, held_out, strict=True):
        group = groups.index(entry["category"])
        plain[bool(tested)] += [(_pixels(d[entry["image"]]), group) for d in drawn if entry["image"] in d]
        tones = [] if tested else [tone["image"] for tone in entry.get("skin_variations", {}).values()]
        toned += [_pixels(d[image]) for image in tones for d in drawn if image in d]
    (images, labels), (test_images, test_labels) = (
        map(np.array, zip(*plain[part], strict=True)) for part in (False, True)
    )
    return Labelled(np.stack([*images, *toned]), labels, test_images, test_labels)


@cache
def grey_emoji() -> Labelled:
    """The same in luma, in all three channels."""
    data = emoji()
    shades = (np.round(pixels @ np.array(LUMA)) for pixels in (data.images, data.test_images))
    images, tested = (luma.astype(np.uint8)[..., None].repeat(3, axis=3) for luma in shades)
    return data._replace(images=images, test_images=tested)


SETS = {"fashion": fashion, "emoji": emoji, "grey_emoji": grey_emoji}


def _idx(name: str) -> np.ndarray:
    """An array of one of LeCun's IDX files."""
    data = gzip.decompress((FASHION / f"{name}-ubyte.gz").read_bytes())
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def _drawn(file: Path, style: str) -> dict[str, bytes]:
    """emoji.json and the pictures of 64 pixels of a package, by name."""
    with tarfile.open(file) as archive:
        wanted = (f"package/img/{style}/64/", "package/emoji.json")
        members = [member for member in archive if member.isfile() and member.name.startswith(wanted)]
        return {Path(one.name).name: archive.extractfile(one).read() for one in members}  # type: ignore[union-attr]


def _pixels(png: bytes) -> np.ndarray:
    """On white, at half the size."""
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    paper = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return np.asarray(paper.resize((SIDE, SIDE), Image.Resampling.BOX))
