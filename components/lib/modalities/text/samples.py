"""Samples of pre-training on text: token shards in, packed rows of segments or bags of words out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from components.lib.core.errors import DataError
from components.lib.engine.randomness import Draw, Ints
from components.lib.modalities.text.bags import Bags, bags, inverse_frequencies
from components.lib.modalities.text.settings import Pretraining
from components.lib.modalities.text.tokens import TokenShards, frame
from components.lib.modalities.text.trunk import built, check, load
from components.lib.models.text.architectures import ARCHITECTURES, Dials
from components.lib.models.text.packing import pack
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

SHORTEST = 2  # tokens; a shorter sample has no context to learn from


class Text:
    """Samples of one split, and views of them.

    Sample i is `length[i]` tokens of document `document[i]`, from `begin[i]`.
    """

    def __init__(self, config: Pretraining, shards: TokenShards, facts: dict[str, Any]) -> None:
        self.config, self.shards, self.facts = config, shards, facts
        self.special: dict[str, int] = facts["special"]
        self.frame = tuple(np.asarray(part, np.int64) for part in frame(facts))  # bos and eos, mostly
        self.room = config.sequence_length - sum(map(len, self.frame))
        lengths = shards.lengths
        counts = np.ones_like(lengths) if config.unit == "document" else -(-lengths // self.room)
        self.document = np.repeat(np.arange(len(lengths), dtype=np.int64), counts)
        first = np.repeat(np.cumsum(counts) - counts, counts)
        self.begin = (np.arange(len(self.document), dtype=np.int64) - first) * self.room
        self.length = lengths[self.document] - self.begin
        if config.unit == "chunk":
            self.length = np.minimum(self.length, self.room)
        enough = np.flatnonzero(self.length >= SHORTEST)
        self.document, self.begin, self.length = (a[enough] for a in (self.document, self.begin, self.length))
        self.fresh = int(np.searchsorted(self.document, shards.fresh))  # samples that are not of older tokens
        self.cost: tuple[int, int, int] = (0, 0, 0)  # matrix weights, layers, width of the trunk

    def __len__(self) -> int:
        return len(self.document)

    def view(self, draw: Draw, stream: str, *, crop: bool = False) -> Any:
        """One text a sample. What does not fit is cut to a random window.

        Args:
            crop: shows at most the configured share of the sample, so that two views differ.
        """
        length = self.length[draw.ids]
        share = self.config.crop if crop else 1.0
        most = np.clip(np.ceil(length * share).astype(np.int64), SHORTEST, self.room)
        return self._window(draw, stream, np.zeros_like(length), length, most)

    def views(self, draw: Draw, count: int) -> list[Any]:
        """Views for a contrastive loss: `count` independent crops, or the two parts of a cut."""
        if self.config.views == "crops":
            return [self.view(draw, f"view {number}", crop=True) for number in range(count)]
        length, room = self.length[draw.ids], np.int64(self.room)
        cut = np.floor((1 + draw.uniform("cut")[:, 0]) / 3 * length).astype(np.int64).clip(1, length - 1)
        parts = ((np.zeros_like(cut), cut), (cut, length))
        return [self._window(draw, f"view {n}", low, high, room) for n, (low, high) in enumerate(parts)]

    def _window(self, draw: Draw, stream: str, low: Ints, high: Ints, most: Ints | np.int64) -> Any:
        """A random window of at most `most` tokens between the places `low` and `high` of each sample."""
        taken = np.minimum(most, high - low)
        shift = low + np.floor(draw.uniform(stream)[:, 0] * (high - low - taken + 1)).astype(np.int64)
        flat, _ = self.shards.gather(self.document[draw.ids], self.begin[draw.ids] + shift, taken)
        return self.batch(flat, taken)

    def batch(self, flat: Any, sizes: Ints) -> Any:
        """One segment a text: its tokens in their frame."""
        before, behind = self.frame
        starts = np.concatenate([[0], np.cumsum(sizes + len(before) + len(behind))])
        framed, inside = np.empty(starts[-1], dtype=np.int64), np.ones(starts[-1], dtype=bool)
        places = [starts[:-1] + at for at in range(len(before))]
        places += [starts[1:] - len(behind) + at for at in range(len(behind))]
        for place, token in zip(places, (*before, *behind), strict=True):
            framed[place], inside[place] = token, False
        framed[inside] = flat
        packed = pack(framed, starts, self.config.sequence_length, self.special["pad"])
        return replace(packed, flops=self._flops(np.diff(starts)))

    def trunk(self, folder: Path | None = None) -> Any:
        """The trunk in a folder, or a new one with random weights.

        Raises:
            ConfigError: if rows are longer than it has positions, or it has no rows for some ids.
        """
        trunk = self._trunk(folder)
        tables = {id(m.weight) for m in trunk.model.modules() if isinstance(m, nn.Embedding)}
        weights = trunk.model.named_parameters()  # those that each token meets: a pooler reads one a segment
        body = [p for n, p in weights if p.ndim == 2 and id(p) not in tables and not n.startswith("pooler")]
        self.cost = (sum(p.numel() for p in body), trunk.model.config.num_hidden_layers, trunk.width)
        return trunk

    def _trunk(self, folder: Path | None) -> Any:
        if folder is None:
            return built(self.network())
        trunk = load(folder, dropout=self.config.dropout)
        check(trunk, self.config.sequence_length, self.facts["vocab_size"])
        return trunk

    def network(self) -> Any:
        """The configuration of the network."""
        config, vocabulary = self.config, self.facts["vocab_size"]
        positions = max(512, config.sequence_length)
        dials = Dials(config.size, vocabulary, positions, self.special, config.dropout, config.depth)
        return ARCHITECTURES[config.architecture](dials)

    def _flops(self, lengths: Ints) -> float:
        """6 N per token and 12 l d L^2 per segment (Narayanan et al., 2021), over real tokens only."""
        weights, layers, width = self.cost
        return float(6 * weights * lengths.sum() + 12 * layers * width * (lengths**2).sum())


class WordBags(Text):
    """Samples as bags of words, for static embeddings: nothing is padded, however long a text is."""

    def trunk(self, folder: Path | None = None) -> Any:
        """The trunk in a folder, or one of random vectors and these samples' inverse document frequencies."""
        trunk = self._trunk(folder)
        self.cost = (0, 1, trunk.width)
        if folder is None:
            trunk.model.idf *= torch.from_numpy(inverse_frequencies(self.shards, self.facts["vocab_size"]))
        return trunk

    def batch(self, flat: Any, sizes: Ints) -> Bags:
        """The distinct tokens of each text, with their counts."""
        return bags(flat, sizes, self.facts["vocab_size"], self.cost[2])


def samples(config: Pretraining, shards: TokenShards, facts: dict[str, Any]) -> Text:
    """The samples that the architecture reads."""
    return (WordBags if config.architecture == "static" else Text)(config, shards, facts)


def open_split(config: Pretraining, store: Store, tokens: Manifest, split: str, *older: Manifest) -> Text:
    """The samples of a split, those of older tokens last; raises DataError if there is none."""
    text = samples(config, TokenShards(store, tokens, split, *older), tokens.facts)
    if not len(text):
        found = f"{len(text.shards.lengths)} documents"
        fix = "ingest more text, or filter less of it"
        raise DataError(f"the {split} split has no samples", where=tokens.uri, found=found, fix=fix)
    return text
