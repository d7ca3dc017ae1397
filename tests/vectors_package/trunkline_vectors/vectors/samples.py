"""Samples of pre-training on vectors: arrays of numbers in, views with noise out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.lib.core.errors import DataError
from components.lib.engine.randomness import Draw
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store
from trunkline_vectors.columns import Scaling
from trunkline_vectors.rows import View
from trunkline_vectors.vectors.settings import Pretraining
from trunkline_vectors.vectors.trunk import Trunk, built, load


class Vectors:
    """Samples of one split, of which the first `fresh` are not of older tokens, and views of them."""

    def __init__(self, config: Pretraining, scaling: Scaling, arrays: list[Any], fresh: int) -> None:
        self.config, self.scaling, self.arrays, self.fresh = config, scaling, arrays, fresh
        self.bounds = np.cumsum([0, *map(len, arrays)])
        self.flops = 0.0  # of one row, forward and backward

    def __len__(self) -> int:
        return int(self.bounds[-1])

    def view(self, draw: Draw, stream: str, noise: float = 0.0) -> View:
        """Each row once, as it is unless noise is wanted."""
        owners = np.searchsorted(self.bounds, draw.ids, side="right") - 1
        rows = [
            self.arrays[owner][place - self.bounds[owner]]
            for owner, place in zip(owners, draw.ids, strict=True)
        ]
        keys = np.floor(draw.uniform(stream)[:, 0] * 2.0**31).astype(np.int64)
        scaled = torch.from_numpy(self.scaling.scaled(rows))
        return View(scaled, torch.from_numpy(keys), noise, self.flops * len(rows))

    def views(self, draw: Draw, count: int) -> list[View]:
        """`count` views of each row, each with noise of its own."""
        return [self.view(draw, f"view {number}", self.config.noise) for number in range(count)]

    def trunk(self, folder: Path | None = None) -> Trunk:
        """The trunk in a folder, or a new one with random weights."""
        trunk = load(folder) if folder else built(len(self.scaling.columns), self.config.widths)
        self.flops = 6.0 * sum(weight.numel() for weight in trunk.parameters() if weight.ndim == 2)
        return trunk


def open_split(config: Pretraining, store: Store, tokens: Manifest, split: str, *older: Manifest) -> Vectors:
    """The samples of a split; raises DataError if there is none."""
    scaling = Scaling(*(tuple(tokens.facts[name]) for name in ("columns", "mean", "std")))
    own, *others = (
        [
            np.load(store.open(one, name), mmap_mode="r", allow_pickle=False)
            for name in one.names(f"{split}-", ".npy")
        ]
        for one in (tokens, *older)
    )
    found = Vectors(config, scaling, sum(others, own), sum(map(len, own)))
    if not len(found):
        raise DataError(f"the {split} split has no samples", where=tokens.uri, fix="ingest more rows")
    return found
