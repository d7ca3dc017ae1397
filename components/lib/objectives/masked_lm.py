"""Masked language modelling: predict hidden tokens from both sides (Devlin et al., "BERT", 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.models.text import masking
from components.lib.models.text.packing import Packed, Targets
from components.lib.models.text.prediction import predict

NEEDS = ("tokens", "bidirectional")
HEAD = True  # it goes on with the head of a language model that published weights have


@dataclass(frozen=True)
class Config:
    """30 % as Wettig et al. (2023) and MosaicBERT; measured at BERT's 15 %, to be comparable."""

    ratio: float = setting(0.30, "share of the tokens that are hidden in training", minimum=0.01, maximum=0.9)
    eval_ratio: float = setting(0.15, "the same in validation", minimum=0.01, maximum=0.9)
    kept: float = setting(0.1, "of the hidden, the share left as it is", minimum=0.0, maximum=1.0)
    replaced: float = setting(
        0.1, "of the hidden, the share replaced by a random token", minimum=0.0, maximum=1.0
    )


class Objective(nn.Module):
    """BERT's head (transform, norm, tied decoder), computed at the hidden tokens only.

    It is the one that published weights have, where they have one, and else made anew.
    """

    PARTS = ("accuracy",)

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        rows, width = trunk.embedding().shape
        self.transform = nn.Sequential(nn.Linear(trunk.width, width), nn.GELU(), nn.LayerNorm(width))
        self.bias = nn.Parameter(torch.zeros(rows))
        if trunk.head:
            self._load(trunk.head, trunk.epsilon)

    @torch.no_grad()
    def _load(self, head: Mapping[str, Tensor], epsilon: float) -> None:
        """Copies a published head; what it does not have, such as ModernBERT's biases, is 0."""
        parts = {"dense": self.transform[0], "norm": self.transform[2]}
        self.transform[2].eps = epsilon  # type: ignore[assignment]
        named = {
            f"{part}.{name}": p for part, module in parts.items() for name, p in module.named_parameters()
        }
        for name, parameter in {**named, "bias": self.bias}.items():
            parameter.copy_(head[name]) if name in head else parameter.zero_()

    def prepare(self, samples: Any, draw: Draw, packed: Packed | None = None) -> Targets:
        """Hides tokens, but never bos, eos or padding; each token's fate depends on its sample alone."""
        packed = samples.view(draw, "window") if packed is None else packed
        chance, fate, substitute = masking.numbers(packed, draw, "hide", "fate", "substitute")
        ratio = self.config.ratio if draw.training else self.config.eval_ratio
        chosen = np.flatnonzero((chance < ratio) & masking.hideable(packed))
        places = packed.places[chosen]
        ids = packed.ids.flatten().clone()
        targets = ids[places].clone()
        ids[places] = torch.from_numpy(
            self._shown(samples.special["mask"], targets.numpy(), fate[chosen], substitute[chosen])
        )
        hidden = replace(packed, ids=ids.view_as(packed.ids))
        vocabulary, width = self.trunk.embedding().shape
        head = 6.0 * len(targets) * width * (self.trunk.width + vocabulary)
        return Targets(hidden, places, targets, head, 6.0 * self.trunk.unread)

    def _shown(self, mask: int, targets: Any, fate: Any, substitute: Any) -> Any:
        """What stands at the hidden places: [MASK], a random token, or the token itself."""
        kept, replaced = self.config.kept, self.config.replaced
        shown = np.full_like(targets, mask)
        shown[fate < kept + replaced] = (substitute * len(self.bias)).astype(np.int64)[fate < kept + replaced]
        return np.where(fate < kept, targets, shown)

    def forward(self, batch: Targets) -> Loss:
        """Cross-entropy, summed over the hidden tokens."""
        return self.read(self.trunk(batch.packed, batch.places), batch)

    def read(self, hidden: Tensor, batch: Targets) -> Loss:
        """The same of the hidden tokens' (m, width) states."""
        logits = nn.functional.linear(self.transform(hidden), self.trunk.embedding(), self.bias)
        total, hits = predict(logits, batch.targets)
        return Loss(total, batch.weight, {"accuracy": hits})
