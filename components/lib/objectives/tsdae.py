"""Denoising of text, TSDAE: from a text without most of its words to one vector, and from that to the text.

Wang, Reimers and Gurevych, "TSDAE", Findings of EMNLP 2021. The decoder sees nothing but the vector, so that
the vector must say what the text says. Its layers are its own; the paper ties them to the encoder's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.models.collapse import SPREAD, spread
from components.lib.models.text.packing import Packed
from components.lib.models.text.prediction import predict
from components.lib.models.text.vector_decoder import VectorDecoder

NEEDS = ("tokens", "words")


@dataclass(frozen=True)
class Config:
    """How much is deleted, and who puts it back."""

    ratio: float = setting(0.6, "share of the words that are deleted", minimum=0.0, maximum=0.99)
    layers: int = setting(1, "of the decoder", minimum=1, maximum=48)


@dataclass(frozen=True)
class Deleted:
    """Packed rows of texts, and of the same texts without some of their words.

    Attributes:
        places: (m,) indices in the flattened whole rows, of all tokens but the last of each text.
        targets: (m,) the tokens behind them.
    """

    packed: Packed
    whole: Packed
    places: Tensor
    targets: Tensor
    head: float

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def weight(self) -> float:
        """Predicted tokens."""
        return float(len(self.targets))

    @property
    def real(self) -> int:
        """Tokens that carry data, as they are decoded."""
        return self.whole.real

    @property
    def slots(self) -> int:
        """Tokens computed on by the decoder, padding included."""
        return self.whole.slots

    @property
    def flops(self) -> float:
        """FLOPs of trunk and decoder, forward and backward."""
        return self.packed.flops + self.head


class Objective(nn.Module):
    """Trunk, pooled as its classifier pools, and a decoder tied to the trunk's table of tokens."""

    PARTS = ("accuracy", *SPREAD)

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        rows, embedded = trunk.embedding().shape
        self.decoder = VectorDecoder(trunk, config.layers, trunk.model.config.max_position_embeddings)
        self.leave = nn.Linear(trunk.width, embedded)
        self.bias = nn.Parameter(torch.zeros(rows))

    def prepare(self, samples: Any, draw: Draw) -> Deleted:
        """Texts with and without the deleted words."""
        whole, packed = samples.thinned(draw, self.config.ratio)
        last = torch.zeros(whole.real, dtype=torch.bool)
        last[whole.starts[1:] - 1] = True
        places = whole.places[~last]
        targets = whole.ids.flatten()[places + 1]
        weights = sum(p.numel() for p in self.decoder.layers.parameters() if p.ndim == 2)
        head = 6.0 * (whole.real * weights + len(targets) * self.trunk.embedding().numel())
        return Deleted(packed, whole, places, targets, head)

    def forward(self, batch: Deleted) -> Loss:
        """Cross-entropy of each token, given the vector and the tokens before it, summed over tokens."""
        vectors = self.trunk.pool(self.trunk(batch.packed), batch.packed)
        table = self.trunk.embedding()
        hidden = self.decoder(batch.whole, vectors, table).flatten(0, 1)[batch.places]
        total, hits = predict(nn.functional.linear(self.leave(hidden), table, self.bias), batch.targets)
        return Loss(total, batch.weight, {"accuracy": hits, **spread(vectors, batch.weight)})
