"""Tokenization of audio: resampled to one rate on threads, as 16-bit waveforms one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
from pyarrow import parquet

from components.lib.core.errors import DataError, IntegrityError
from components.lib.core.settings import to_dict
from components.lib.executors import Executor
from components.lib.modalities.audio.processor import PROCESSOR, Processor
from components.lib.modalities.audio.recordings import Waveform
from components.lib.modalities.audio.settings import Tokenization
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.objects import read_named
from components.lib.storage.store import Draft, Store

SPLITS = ("train", "validation")
ROWS = 16  # clips that a thread decodes at a time
FOLDER = "tokenizer"  # what a trunk is kept with, as a text's tokenizer is
SAMPLES = 1  # version of how recordings become waveforms


def plan(
    options: Tokenization, executor: Executor
) -> tuple[dict[str, Any], Callable[[Store, Manifest, Draft], None]]:
    """What decides the output, and what builds it; raises ConfigError if a given file cannot be read."""
    identity = to_dict(options) | {"samples": SAMPLES}
    given = b""
    if options.rates:
        given = read_named(options.rates, "tokenization.rates", f"a path or URI of a {PROCESSOR} of a trunk")
        identity["rates"] = f"sha256:{artifacts.sha256(given)}"

    def build(store: Store, corpus: Manifest, draft: Draft) -> None:
        processor = Processor.parse(given) if given else Processor(options.rate)
        resample(processor, options.shard_bytes, executor.threads, store, corpus, draft)

    return identity, build


def resample(
    processor: Processor, most: int, workers: int, store: Store, corpus: Manifest, draft: Draft
) -> None:
    """Fills the draft with shards of at most so many bytes, or of one clip.

    Raises:
        DataError: if there is no clip to train on.
        IntegrityError: if the corpus does not hold the clips that its manifest tells of.
    """
    expected = corpus.facts["documents"]
    if not expected.get("train"):
        what = "the corpus has no clip to train on"
        raise DataError(what, where=corpus.uri, fix="add recordings to the sources")
    clips, samples = {}, {}
    for split in SPLITS:
        writer = Writer(draft, split, most)
        for waveform in _waveforms(workers, store, corpus, split, processor):
            writer.add(waveform)
        writer.close()
        clips[split], samples[split] = writer.clips, writer.samples
        if writer.clips != expected.get(split, 0):
            what, where = "the corpus is not what its manifest tells", f"{corpus.uri} ({split})"
            found, told = f"{writer.clips} clips", f"{expected.get(split, 0)} clips"
            raise IntegrityError(what, where=where, found=found, expected=told)
    (draft.folder / FOLDER).mkdir()
    processor.save(draft.folder / FOLDER)
    draft.add(f"{FOLDER}/{PROCESSOR}")
    seconds = {split: round(count / processor.rate, 1) for split, count in samples.items()}
    draft.facts = {**asdict(processor), "dtype": "int16", "clips": clips, "seconds": seconds}
    draft.facts |= {"probes": processor.probes(), "notices": _notices(processor.rate, corpus)}


def _notices(rate: int, corpus: Manifest) -> list[str]:
    """What is told of clips of another rate."""
    rates = {int(name): count for name, count in corpus.facts["rate"].items()}
    lower, higher = (
        sum(count for one, count in rates.items() if side(one, rate)) for side in (_below, _above)
    )
    told = {
        f"clips have a lower rate than {rate:,} Hz: above half of theirs they hold nothing": lower,
        f"clips have a higher rate than {rate:,} Hz: what is above half of that is left out": higher,
    }
    return [f"{count:,} {what}" for what, count in told.items() if count]


def _below(one: int, rate: int) -> bool:
    return one < rate


def _above(one: int, rate: int) -> bool:
    return one > rate


def _waveforms(
    workers: int, store: Store, corpus: Manifest, split: str, processor: Processor
) -> Iterator[Waveform]:
    """In order; libsndfile and soxr leave the interpreter's lock while they work."""
    under_way: deque[Future[list[Waveform]]] = deque()

    def decoded(batch: list[bytes]) -> list[Waveform]:
        return [processor.read(data) for data in batch]

    with ThreadPoolExecutor(workers) as pool:
        for batch in _batches(store, corpus, split):
            under_way.append(pool.submit(decoded, batch))
            if len(under_way) > 2 * workers:
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()


def _batches(store: Store, corpus: Manifest, split: str) -> Iterator[list[bytes]]:
    for name in corpus.names(f"{split}-", ".parquet"):
        with parquet.ParquetFile(store.open(corpus, name)) as file:
            for batch in file.iter_batches(ROWS, columns=["audio"], use_threads=False):
                yield batch.column("audio").to_pylist()


class Writer:
    """The shards of one split: x.npy, the samples of all clips, and x.ends.npy, where each one ends."""

    def __init__(self, draft: Draft, split: str, most: int) -> None:
        self._draft, self._split, self._most = draft, split, most
        self._held: list[Waveform] = []
        self._shards, self._size, self.clips, self.samples = 0, 0, 0, 0

    def add(self, waveform: Waveform) -> None:
        """Appends a clip."""
        if self._held and self._size + waveform.nbytes > self._most:
            self._flush()
        self._held.append(waveform)
        self._size += waveform.nbytes
        self.clips += 1
        self.samples += len(waveform)

    def close(self) -> None:
        """Publishes what is left; an empty split has one empty shard."""
        if self._held or not self._shards:
            self._flush()

    def _flush(self) -> None:
        name = f"{self._split}-{self._shards:05d}"
        ends = np.cumsum([0, *map(len, self._held)], dtype=np.int64)[1:]
        arrays = {name: np.concatenate([np.empty(0, np.int16), *self._held]), f"{name}.ends": ends}
        for stem, array in arrays.items():
            np.save(self._draft.folder / f"{stem}.npy", array, allow_pickle=False)
            self._draft.add(f"{stem}.npy", len(ends))
        self._held, self._size, self._shards = [], 0, self._shards + 1
