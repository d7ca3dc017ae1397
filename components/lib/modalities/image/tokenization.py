"""Tokenization of images: resized to one array on threads, mean and deviation of each channel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import PIL
from pyarrow import parquet

from components.lib.core.errors import DataError, IntegrityError
from components.lib.core.settings import to_dict
from components.lib.data.images import Pixels
from components.lib.executors import Executor
from components.lib.modalities.image.canvas import PROCESSOR, Canvas
from components.lib.modalities.image.settings import Tokenization
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.objects import read_named
from components.lib.storage.store import Draft, Store

SPLITS = ("train", "validation")
ROWS = 64  # images that a thread decodes at a time
FOLDER = "tokenizer"  # what a trunk is kept with, as a text's tokenizer is
PIXELS = 2  # version of how images become bytes
LEAST = 1e-3  # standard deviation that a channel is divided by


def plan(
    options: Tokenization, executor: Executor
) -> tuple[dict[str, Any], Callable[[Store, Manifest, Draft], None]]:
    """What decides the output, and what builds it; raises ConfigError if a given canvas cannot be read."""
    identity = to_dict(options) | {"pixels": PIXELS}
    given = (
        read_named(options.canvas, "tokenization.canvas", f"a path or URI of a {PROCESSOR} of a trunk")
        if options.canvas
        else b""
    )
    if options.canvas:
        identity["canvas"] = f"sha256:{artifacts.sha256(given)}"

    def build(store: Store, corpus: Manifest, draft: Draft) -> None:
        resize(options, executor.threads, store, corpus, draft, given)

    return identity, build


def resize(
    options: Tokenization, workers: int, store: Store, corpus: Manifest, draft: Draft, given: bytes = b""
) -> None:
    """Fills the draft; `given` is the file of a trunk's canvas, if it is not to be made anew.

    Raises:
        DataError: if there is no image to train on.
        IntegrityError: if the corpus does not hold the images that its manifest tells of.
    """
    expected = corpus.facts["documents"]
    if not expected.get("train"):
        what = "the corpus has no image to train on"
        raise DataError(what, where=corpus.uri, fix="add images to the sources")
    canvas, notices = _canvas(options, corpus, given)
    moments, counts = Moments(canvas.channels), {}
    for split in SPLITS:
        writer = Writer(draft, split, (canvas.height, canvas.width, canvas.channels), options.shard_bytes)
        for pixels in _sized(workers, store, corpus, split, canvas):
            writer.add(pixels)
            if split == "train":
                moments.add(pixels)
        writer.close()
        counts[split] = writer.images
        if writer.images != expected.get(split, 0):
            what, where = "the corpus is not what its manifest tells", f"{corpus.uri} ({split})"
            found, told = f"{writer.images} images", f"{expected.get(split, 0)} images"
            raise IntegrityError(what, where=where, found=found, expected=told)
    mean, std = (list(canvas.mean), list(canvas.std)) if given else moments.of()
    canvas = replace(canvas, mean=tuple(mean), std=tuple(std))
    (draft.folder / FOLDER).mkdir()
    canvas.save(draft.folder / FOLDER)
    draft.add(f"{FOLDER}/{PROCESSOR}")
    facts = {**asdict(canvas), "mean": mean, "std": std}
    draft.facts = {**facts, "dtype": "uint8", "images": counts, "probes": canvas.probes()}
    draft.facts["notices"] = notices
    draft.measured["pillow"] = PIL.__version__


def _canvas(options: Tokenization, corpus: Manifest, given: bytes) -> tuple[Canvas, list[str]]:
    """The canvas that is asked for, or a trunk's, with the range of values; and what is told of it."""
    grey, span = set(corpus.facts["channels"]) == {"1"}, tuple(corpus.facts.get("range", ()))
    canvas = Canvas(options.height, options.width, options.channels or (1 if grey else 3), options.fit)
    canvas = Canvas.parse(given) if given else canvas
    canvas = replace(canvas, range=canvas.range or span)
    if span in ((), canvas.range):
        return canvas, []
    ours, theirs = ("{:g} to {:g}".format(*one) for one in (span, canvas.range))
    return canvas, [f"images are read with the trunk's range, {theirs}; the corpus has {ours}"]


def _sized(workers: int, store: Store, corpus: Manifest, split: str, canvas: Canvas) -> Iterator[Pixels]:
    """(n, height, width, channels) in order; Pillow leaves the interpreter's lock while it works."""
    under_way: deque[Future[Pixels]] = deque()

    def sized(batch: list[bytes]) -> Pixels:
        return np.stack([canvas.read(data) for data in batch])

    with ThreadPoolExecutor(workers) as pool:
        for batch in _batches(store, corpus, split):
            under_way.append(pool.submit(sized, batch))
            if len(under_way) > 2 * workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _batches(store: Store, corpus: Manifest, split: str) -> Iterator[list[bytes]]:
    for name in corpus.names(f"{split}-", ".parquet"):
        with parquet.ParquetFile(store.open(corpus, name)) as file:
            for batch in file.iter_batches(ROWS, columns=["image"], use_threads=False):
                yield batch.column("image").to_pylist()


class Moments:
    """Mean and deviation of each channel, summed as whole numbers: the same in any order."""

    def __init__(self, channels: int) -> None:
        self._count = 0
        self._sums = np.zeros((2, channels), np.int64)

    def add(self, pixels: Pixels) -> None:
        """Takes (n, height, width, channels)."""
        flat = pixels.reshape(-1, pixels.shape[-1])
        counts = np.stack([np.bincount(column, minlength=256) for column in flat.T])
        values = np.arange(256)
        self._count += len(flat)
        self._sums += np.stack([counts @ values, counts @ values**2])

    def of(self) -> tuple[list[float], list[float]]:
        """Of pixels as numbers from 0 to 1."""
        mean, square = self._sums / max(self._count, 1)
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        return [round(m / 255, 6) for m in mean], [round(max(s / 255, LEAST), 6) for s in deviation]


class Writer:
    """The shards of one split."""

    def __init__(self, draft: Draft, split: str, shape: tuple[int, int, int], most: int) -> None:
        self._draft, self._split, self._shape = draft, split, shape
        self._most = max(1, most // int(np.prod(shape)))  # images of a shard
        self._held: list[Pixels] = []
        self._shards, self.images = 0, 0

    def add(self, pixels: Pixels) -> None:
        """Appends images."""
        self._held.append(pixels)
        self.images += len(pixels)
        if sum(map(len, self._held)) >= self._most:
            self._flush()

    def close(self) -> None:
        """Publishes what is left; an empty split has one empty shard."""
        if self._held or not self._shards:
            self._flush()

    def _flush(self) -> None:
        name = f"{self._split}-{self._shards:05d}.npy"
        pixels = np.concatenate([np.empty((0, *self._shape), np.uint8), *self._held])
        np.save(self._draft.folder / name, pixels, allow_pickle=False)
        self._draft.add(name, len(pixels))
        self._held, self._shards = [], self._shards + 1
