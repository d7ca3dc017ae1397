"""Causal language modelling: predict the next token (Radford et al., "GPT-2", 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.models.text.packing import Targets
from components.lib.models.text.prediction import predict

NEEDS = ("tokens", "causal")
HEAD = True  # it goes on with the head of a language model that published weights have


@dataclass(frozen=True)
class Config:
    """No dials."""


class Objective(nn.Module):
    """A decoder tied to the embedding, as GPT-2 has it, so that `AutoModelForCausalLM` can load the trunk.

    Published weights with a decoder of their own go on with it.
    """

    PARTS = ("accuracy",)

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        own = trunk.head.get("decoder.weight")
        self.decoder = None if own is None else nn.Parameter(own.clone())

    def prepare(self, samples: Any, draw: Draw) -> Targets:
        """Every token but the last of each segment has a target."""
        packed = samples.view(draw, "window")
        last = torch.zeros(len(packed.places), dtype=torch.bool)
        last[packed.starts[1:] - 1] = True
        places = packed.places[~last]
        targets = packed.ids.flatten()[places + 1]
        decoder = 6.0 * len(targets) * self.trunk.embedding().numel()
        return Targets(packed, places, targets, decoder)

    def forward(self, batch: Targets) -> Loss:
        """Cross-entropy, summed over the predicted tokens."""
        hidden = self.trunk(batch.packed, batch.places)
        decoder = self.trunk.embedding() if self.decoder is None else self.decoder
        logits = nn.functional.linear(hidden, decoder)
        total, hits = predict(logits, batch.targets)
        return Loss(total, batch.weight, {"accuracy": hits})
