"""Samples of pre-training on text: token shards in, packed rows of token segments out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from components.lib.core.errors import DataError
from components.lib.engine.randomness import Draw, Ints
from components.lib.modalities.text.settings import Pretraining
from components.lib.modalities.text.tokens import TokenShards, frame
from components.lib.modalities.text.trunk import Trunk, built, load
from components.lib.models.text.architectures import ARCHITECTURES, Dials
from components.lib.models.text.packing import Packed, pack
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

    def view(self, draw: Draw, stream: str, *, crop: bool = False) -> Packed:
        """One segment a sample: its tokens in their frame. What does not fit a row is cut to a random window.

        Args:
            crop: shows at most the configured share of the sample, so that two views differ.
        """
        length = self.length[draw.ids]
        share = self.config.crop if crop else 1.0
        taken = np.clip(np.ceil(length * share).astype(np.int64), SHORTEST, self.room)
        taken = np.minimum(taken, length)
        shift = np.floor(draw.uniform(stream)[:, 0] * (length - taken + 1)).astype(np.int64)
        flat, _ = self.shards.gather(self.document[draw.ids], self.begin[draw.ids] + shift, taken)
        before, behind = self.frame
        starts = np.concatenate([[0], np.cumsum(taken + len(before) + len(behind))])
        framed, inside = np.empty(starts[-1], dtype=np.int64), np.ones(starts[-1], dtype=bool)
        places = [starts[:-1] + at for at in range(len(before))]
        places += [starts[1:] - len(behind) + at for at in range(len(behind))]
        for place, token in zip(places, (*before, *behind), strict=True):
            framed[place], inside[place] = token, False
        framed[inside] = flat
        packed = pack(framed, starts, self.config.sequence_length, self.special["pad"])
        return replace(packed, flops=self._flops(np.diff(starts)))

    def views(self, draw: Draw, count: int) -> list[Packed]:
        """`count` independent crops of each sample, for a contrastive loss."""
        return [self.view(draw, f"view {number}", crop=True) for number in range(count)]

    def trunk(self, folder: Path | None = None) -> Trunk:
        """The trunk in a folder, or a new one with random weights.

        Raises:
            ConfigError: if rows are longer than it has positions, or it has no rows for some ids.
        """
        trunk = self._built() if folder is None else load(folder, dropout=self.config.dropout)
        if folder is not None:
            trunk.check(self.config.sequence_length, self.facts["vocab_size"])
        tables = {id(m.weight) for m in trunk.model.modules() if isinstance(m, nn.Embedding)}
        weights = trunk.model.named_parameters()  # those that each token meets: a pooler reads one a segment
        body = [p for n, p in weights if p.ndim == 2 and id(p) not in tables and not n.startswith("pooler")]
        self.cost = (sum(p.numel() for p in body), trunk.model.config.num_hidden_layers, trunk.width)
        return trunk

    def _built(self) -> Trunk:
        config = self.config
        dials = Dials(
            config.size,
            self.facts["vocab_size"],
            max(512, config.sequence_length),
            self.special,
            config.dropout,
        )
        return built(ARCHITECTURES[config.architecture](dials))

    def _flops(self, lengths: Ints) -> float:
        """6 N per token and 12 l d L^2 per segment (Narayanan et al., 2021), over real tokens only."""
        weights, layers, width = self.cost
        return float(6 * weights * lengths.sum() + 12 * layers * width * (lengths**2).sum())


def open_split(config: Pretraining, store: Store, tokens: Manifest, split: str, *older: Manifest) -> Text:
    """The samples of a split, those of older tokens last; raises DataError if there is none."""
    text = Text(config, TokenShards(store, tokens, split, *older), tokens.facts)
    if not len(text):
        found = f"{len(text.shards.lengths)} documents"
        fix = "ingest more text, or filter less of it"
        raise DataError(f"the {split} split has no samples", where=tokens.uri, found=found, fix=fix)
    return text
