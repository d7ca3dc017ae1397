"""Samples of pre-training on text: token shards in, packed rows of segments or bags of words out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from components.lib.core.errors import DataError
from components.lib.engine.randomness import Draw, Ints
from components.lib.modalities.text.bags import Bags, bags, inverse_frequencies
from components.lib.modalities.text.settings import Pretraining
from components.lib.modalities.text.tokens import TokenShards, frame, initial
from components.lib.modalities.text.trunk import built, check, load
from components.lib.models.text.architectures import ARCHITECTURES, Dials
from components.lib.models.text.packing import Packed, framed
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

Floats = npt.NDArray[np.float64]

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
        self.reader: Callable[[], Path] | None = None  # the folder of the tokenizer, if there is one

    def __len__(self) -> int:
        return len(self.document)

    @cached_property
    def initial(self) -> npt.NDArray[np.bool_]:
        """(vocabulary,) which tokens begin words: all, where no tokenizer tells."""
        size = self.facts["vocab_size"]
        return np.ones(size, bool) if self.reader is None else initial(self.reader(), size)

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

    def thinned(self, draw: Draw, ratio: float) -> tuple[Packed, Packed]:
        """One text a sample, cut to a random window; and the same without a share `ratio` of its words.

        One word at least is left.
        """
        whole = self.view(draw, "window")
        before, behind = map(len, self.frame)
        sizes = whole.starts.diff().numpy() - before - behind
        owner = np.repeat(np.arange(len(sizes)), sizes)
        first = np.cumsum(sizes) - sizes
        flat = whole.ids.flatten()[whole.places].numpy()
        flat = flat[np.repeat(whole.starts[:-1].numpy() + before - first, sizes) + np.arange(len(owner))]
        words = self.initial[flat].cumsum()
        words -= words[first][owner]
        chance = draw.uniform("delete", int(words.max()) + 1)
        kept = np.where(np.arange(chance.shape[1]) <= words[first + sizes - 1][:, None], chance, -1.0)
        left = (kept >= ratio) | (kept == kept.max(axis=1, keepdims=True))
        stays = left[owner, words]
        counts = np.bincount(owner[stays], minlength=len(sizes))
        packed = framed(flat[stays], counts, self.frame, self.config.sequence_length, self.special["pad"])
        return whole, replace(packed, flops=self._flops(packed.starts.diff().numpy()))

    def pairs(self, draw: Draw, *, swapped: bool = False) -> tuple[Packed, Tensor]:
        """Two texts a sample, its parts before and after a cut, of which half are false.

        The cut is where a sentence begins, or anywhere in a window without one. The second text of a false
        pair comes from behind the cut of another document's sample; or the two are swapped.

        Returns:
            One segment a pair, and (n,) 1 at those that are false.

        Raises:
            DataError: if there is no other document.
        """
        chance, ids = draw.uniform("pair", 5).T, draw.ids
        room = np.int64(self.config.sequence_length - len(self.frame[0]) - 2 * len(self.frame[1]))
        length = np.minimum(self.length[ids], room)
        begin = self.begin[ids] + np.floor(chance[0] * (self.length[ids] - length + 1)).astype(np.int64)
        cut, false = self._cut(ids, begin, length, chance[1]), chance[2] < 0.5
        windows = np.array([[ids, begin, cut], [ids, begin + cut, length - cut]])  # sample, first, tokens
        if swapped:
            windows = np.where(false, windows[::-1], windows)
        else:
            other = self._elsewhere(ids, chance[3])
            behind = self._cut(other, self.begin[other], self.length[other], chance[4])
            tokens = np.minimum(length - cut, self.length[other] - behind)
            stranger = np.array([other, self.begin[other] + behind, tokens])
            windows[1] = np.where(false, stranger, windows[1])
        samples, first, tokens = windows.transpose(1, 2, 0).reshape(3, -1)
        flat, _ = self.shards.gather(self.document[samples], first, tokens)
        packed = framed(flat, tokens, self.frame, self.config.sequence_length, self.special["pad"], texts=2)
        flops = self._flops(packed.starts.diff().numpy())
        return replace(packed, flops=flops), torch.from_numpy(false.astype(np.int64))

    def _cut(self, ids: Ints, begin: Ints, length: Ints, chance: Floats) -> Ints:
        """(n,) where the second part of each window begins, from 1 to its length - 1."""
        sentences, first = self.shards.sentences, self.shards.starts[self.document[ids]] + begin
        low, high = sentences.searchsorted(first + 1), sentences.searchsorted(first + length)
        chosen = sentences.take(low + (chance * (high - low)).astype(np.int64), mode="clip") - first
        return np.where(high > low, chosen, 1 + (chance * (length - 1)).astype(np.int64))

    def _elsewhere(self, ids: Ints, chance: Floats) -> Ints:
        """(n,) samples of other documents, each as likely as any."""
        first, last = (self.document.searchsorted(self.document[ids], side) for side in ("left", "right"))
        others = len(self) - (last - first)
        if not others.all():
            what, fix = "there is one document, and none to take a false pair from", "kind: sentence_order"
            raise DataError(what, where="pretraining.objective.next_sentence", found="1", fix=fix)
        chosen = (chance * others).astype(np.int64)
        return np.where(chosen < first, chosen, chosen + last - first)

    def _window(self, draw: Draw, stream: str, low: Ints, high: Ints, most: Ints | np.int64) -> Any:
        """A random window of at most `most` tokens between the places `low` and `high` of each sample."""
        taken = np.minimum(most, high - low)
        shift = low + np.floor(draw.uniform(stream)[:, 0] * (high - low - taken + 1)).astype(np.int64)
        flat, _ = self.shards.gather(self.document[draw.ids], self.begin[draw.ids] + shift, taken)
        return self.batch(flat, taken)

    def batch(self, flat: Any, sizes: Ints) -> Any:
        """One segment a text: its tokens in their frame."""
        packed = framed(flat, sizes, self.frame, self.config.sequence_length, self.special["pad"])
        return replace(packed, flops=self._flops(packed.starts.diff().numpy()))

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
    text.reader = partial(store.open_folder, tokens, "tokenizer/")
    return text
