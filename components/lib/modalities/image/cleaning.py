"""Image files to what later steps ask of them: identity, size, signature. Runs in worker processes.

A signature is the grey picture at 16 x 16 with mean 0 and length 1; two images are as similar as theirs
correlate. Neither JPEG nor another size or brightness changes it much, and it tells one handwritten digit
from another, which the 64 bits of the usual perceptual hashes do not; their finer bits are noise where a
picture is smooth. Pairs are found by the signs of random projections (Charikar, "Similarity estimation
techniques from rounding algorithms", 2002).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from components.lib.core.errors import DataError
from components.lib.data import deduplication, images
from components.lib.data.images import Pixels
from components.lib.modalities import Cleaned, Payload
from components.lib.modalities.image.settings import Ingestion

SIDE = 16  # of the grey picture
SIZE = SIDE * SIDE
UNIT = 32767  # a signature's length, as its numbers are whole
BITS = 16  # of a word of signs; with as many words, 5 of 10 million pairs at 0.995 are missed
PART = 4096  # images that are worked on at once
REACH = 64  # neighbours that are compared among the images which share a word
Signatures = npt.NDArray[np.uint16]  # (images, SIZE), to be seen as signed numbers
Floats = npt.NDArray[np.float32]


class Cleaner:
    """Decodes batches of images and compares them with evaluation sets."""

    def __init__(self, options: Ingestion, evaluations: Sequence[Path]) -> None:
        self._options = options
        self._ids = {row.tobytes() for folder in evaluations for row in np.load(folder / "ids.npy")}
        tested = [np.load(folder / "signatures.npy") for folder in evaluations]
        self._tested = unit(np.concatenate([np.empty((0, SIZE), np.uint16), *tested]))

    def __call__(self, payloads: Sequence[Payload]) -> Cleaned:
        clean = Cleaned()
        sizes, small = [np.empty((0, 3), np.int32)], []
        for place, (data, label) in enumerate(payloads):
            try:
                pixels = images.decode(data)
            except DataError as error:
                if isinstance(error.__cause__, MemoryError):  # no property of the image
                    raise error.__cause__ from error
                clean.broken[place] = f"{error.what}: {error.found}"
                continue
            clean.payloads.append((data, label))
            clean.ids.append(images.identity(pixels))
            clean.reasons.append(self._reason(pixels))
            height, width, channels = pixels.shape
            sizes.append(np.array([[width, height, channels]], np.int32))
            small.append(shrunk(pixels))
        columns = np.concatenate(sizes).T
        clean.measures = dict(zip(("width", "height", "channels"), columns, strict=True))
        clean.signatures = signatures(small)
        clean.shared = self._shared(clean.ids, clean.signatures)
        return clean

    def _reason(self, pixels: Pixels) -> str:
        """Why an image is dropped, or ''."""
        short, long = sorted(pixels.shape[:2])
        if short < self._options.smallest:
            return f"size: {short} pixels, fewer than {self._options.smallest}"
        if long > self._options.longest * short:
            return f"shape: {long / short:.1f} times as long as wide, more than {self._options.longest:g}"
        spread = int(pixels.max()) - int(pixels.min())
        if spread <= self._options.flat:
            return f"flat: its values differ by {spread}, at most {self._options.flat}"
        return ""

    def _shared(self, ids: list[bytes], found: Signatures) -> npt.NDArray[np.int8]:
        shared = np.zeros(len(ids), np.int8)
        least = self._options.near_duplicates
        if least and len(self._tested):
            for start in range(0, len(found), PART):
                alike = unit(found[start : start + PART]) @ self._tested.T
                shared[start : start + PART] = (alike >= least).any(axis=1)
        shared[[name in self._ids for name in ids]] = 2
        return shared


class Collector:
    """Makes the index of an evaluation set."""

    def __init__(self) -> None:
        self._ids: list[bytes] = []
        self._small: list[Pixels] = []

    def add(self, payload: Payload) -> None:
        """Takes one image."""
        pixels = images.decode(payload[0])
        self._ids.append(images.identity(pixels))
        self._small.append(shrunk(pixels))

    def save(self, folder: Path) -> int:
        """Writes the index; returns how many images it has."""
        np.save(folder / "ids.npy", np.frombuffer(b"".join(self._ids), np.uint8).reshape(-1, 16))
        np.save(folder / "signatures.npy", signatures(self._small))
        return len(self._ids)


def shrunk(pixels: Pixels) -> Pixels:
    """(SIDE, SIDE) grey."""
    grey = images.picture(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(grey)


def signatures(small: Sequence[Pixels]) -> Signatures:
    """Grey pictures with mean 0 and length UNIT; one without contrast is 0."""
    if not len(small):
        return np.empty((0, SIZE), np.uint16)
    values = np.stack(small).reshape(len(small), -1).astype(np.float64)
    values -= values.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    scaled = np.divide(values * UNIT, lengths, out=np.zeros_like(values), where=lengths > 0)
    return np.rint(scaled).astype(np.int16).view(np.uint16)


def unit(found: Signatures) -> Floats:
    """Signatures as vectors of length 1: their products are correlations."""
    return found.view(np.int16).astype(np.float32) / np.float32(UNIT)


def near_copies(ids: npt.NDArray[np.uint64], found: Signatures, threshold: float) -> npt.NDArray[np.bool_]:
    """Marks images that are similar to one with a smaller id, if only by others in between."""
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    leader = np.arange(len(ids))
    for left, right in _pairs(np.ascontiguousarray(found[order]), threshold):
        deduplication.join(leader, left, right)
    again = np.zeros(len(ids), bool)
    again[order] = deduplication.roots(leader) != np.arange(len(ids))
    return again


def _pairs(
    found: Signatures, threshold: float
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs of rows that correlate so: of those that share a word of signs, each with its next ones."""
    for word in words(found).T:
        order = np.argsort(word, kind="stable")
        bounds = np.flatnonzero(np.r_[True, np.diff(word[order]) != 0, True])
        for shift in range(1, min(int(np.diff(bounds).max(initial=1)), REACH)):
            same = word[order[shift:]] == word[order[:-shift]]
            left, right = order[:-shift][same], order[shift:][same]
            alike = np.concatenate([np.empty(0, bool), *_alike(found, left, right, threshold)])
            yield left[alike], right[alike]


def _alike(
    found: Signatures, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], threshold: float
) -> Iterator[npt.NDArray[np.bool_]]:
    for start in range(0, len(left), PART):
        part = slice(start, start + PART)
        yield np.einsum("ij,ij->i", unit(found[left[part]]), unit(found[right[part]])) >= threshold


def words(found: Signatures) -> npt.NDArray[np.uint16]:
    """(images, 16) words of the signs of projections on fixed random directions."""
    directions = np.random.default_rng(42).standard_normal((SIZE, BITS * BITS)).astype(np.float32)
    parts = [np.empty((0, BITS), np.uint16)]
    for start in range(0, len(found), PART):
        signs = unit(found[start : start + PART]) @ directions > 0
        parts.append(np.packbits(signs, axis=1).view(np.uint16))
    return np.concatenate(parts)
