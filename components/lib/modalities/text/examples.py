"""Labelled examples as token ids, and padded batches of them, for tasks on text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.engine.randomness import Ints

IGNORED = -100  # cross_entropy's index for "no target here"


@dataclass(frozen=True)
class Examples:
    """Encoded inputs with their targets.

    Attributes:
        ids: token ids of each example, bos and eos included.
        targets: (n,) class of each example, or a list of classes as long as its ids.
        cut: (n,) whether an input is longer than what is read of it.
        types: of pairs of texts, 0 for each token of the first and 1 for each of the second.
    """

    ids: list[list[int]]
    targets: list[Any]
    padding: int
    cut: Sequence[bool] = ()
    types: Sequence[list[int]] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def subset(self, chosen: Sequence[int] | Ints) -> Examples:
        """The examples at these places, in this order."""
        columns: dict[str, Any] = {
            name: [column[i] for i in chosen]
            for name, column in vars(self).items()
            if name != "padding" and column
        }
        return replace(self, **columns)

    def batch(self, chosen: Sequence[int] | Ints) -> Padded:
        """These examples, padded to the longest."""
        ids = [self.ids[i] for i in chosen]
        width = max(1, *map(len, ids))
        table = np.full((len(ids), width), self.padding, dtype=np.int64)
        mask = np.zeros((len(ids), width), dtype=np.int64)
        for row, tokens in enumerate(ids):
            table[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        targets = [self.targets[i] for i in chosen]
        if targets and isinstance(targets[0], list):
            targets = [labels + [IGNORED] * (width - len(labels)) for labels in targets]
        kind = np.float32 if targets and isinstance(targets[0], float) else np.int64
        types = np.zeros_like(table)
        for row, place in enumerate(chosen if self.types else ()):
            types[row, : len(ids[row])] = self.types[place]
        arrays = (table, mask, np.asarray(targets, dtype=kind), types)
        return Padded(*(torch.from_numpy(array) for array in arrays))

    def batches(self, size: int) -> list[Ints]:
        """Places in batches of similar length, for inference without much padding."""
        order = np.argsort([len(tokens) for tokens in self.ids], kind="stable")
        return [order[at : at + size] for at in range(0, len(order), size)]


@dataclass(frozen=True)
class Padded:
    """(n, L) ids, mask and types; targets are (n,) or (n, L)."""

    ids: Tensor
    mask: Tensor
    targets: Tensor
    types: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weight(self) -> float:
        """Targets that count."""
        if self.targets.is_floating_point():
            return float(self.targets.numel())
        return float((self.targets != IGNORED).sum())

    def arguments(self, model: Any) -> dict[str, Tensor]:
        """Of a pass of a model: with the types of a pair's texts, where it has vectors for them."""
        given = {"input_ids": self.ids, "attention_mask": self.mask}
        typed = getattr(model.config, "type_vocab_size", 0) or 0
        return {**given, "token_type_ids": self.types} if typed > 1 else given

    @property
    def real(self) -> int:
        """Tokens that carry data."""
        return int(self.mask.sum())

    @property
    def slots(self) -> int:
        """Tokens that are computed."""
        return self.ids.numel()
