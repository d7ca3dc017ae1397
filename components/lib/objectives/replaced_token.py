"""Replaced token detection: a small generator fills hidden tokens in, the trunk finds what it put there.

Clark et al., "ELECTRA", ICLR 2020. Both learn at once, on one table of tokens; no gradient flows through what
the generator draws, and only the trunk is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.modalities.text.trunk import Trunk
from components.lib.models.text import masking
from components.lib.models.text.packing import Packed
from components.lib.models.text.prediction import predict

NEEDS = ("tokens", "bidirectional")


@dataclass(frozen=True)
class Config:
    """The generator, and how its loss is weighed against the trunk's."""

    ratio: float = setting(0.15, "share of the tokens that are hidden", minimum=0.01, maximum=0.9)
    generator: float = setting(
        0.25, "width of the generator, as a share of the trunk's", minimum=0.05, maximum=1.0
    )
    detection: float = setting(50.0, "weight of the trunk's loss; the generator's has 1", minimum=0.0)


@dataclass(frozen=True)
class Replaced:
    """Packed rows with hidden tokens.

    Attributes:
        places: (m,) indices of the hidden tokens in the flattened rows.
        targets: (m,) what they were.
        chances: (m,) uniform numbers by which the generator draws.
    """

    packed: Packed
    places: Tensor
    targets: Tensor
    chances: Tensor
    flops: float

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def weight(self) -> float:
        """Tokens that are judged."""
        return float(self.packed.real)

    @property
    def real(self) -> int:
        """Tokens that carry data."""
        return self.packed.real

    @property
    def slots(self) -> int:
        """Tokens computed on, padding included."""
        return self.packed.slots


class Objective(nn.Module):
    """Generator with a head tied to the trunk's table of tokens, and ELECTRA's head on the trunk."""

    PARTS = ("generator", "detection", "accuracy", "replaced")

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        rows, width = trunk.embedding().shape
        self.generator = generator(trunk, config.generator)
        norm = nn.LayerNorm(width, eps=1e-12)
        self.transform = nn.Sequential(nn.Linear(self.generator.width, width), nn.GELU(), norm)
        self.bias = nn.Parameter(torch.zeros(rows))
        self.head = nn.Sequential(nn.Linear(trunk.width, trunk.width), nn.GELU(), nn.Linear(trunk.width, 1))

    def prepare(self, samples: Any, draw: Draw) -> Replaced:
        """Hides tokens, but never bos, eos or padding."""
        packed = samples.view(draw, "window")
        chance, drawn = masking.numbers(packed, draw, "hide", "replace")
        chosen = np.flatnonzero((chance < self.config.ratio) & masking.hideable(packed))
        places = packed.places[chosen]
        ids = packed.ids.flatten().clone()
        targets = ids[places].clone()
        ids[places] = samples.special["mask"]
        hidden = replace(packed, ids=ids.view_as(packed.ids))
        chances = torch.from_numpy(drawn[chosen].astype(np.float32))
        layers = sum(p.numel() for n, p in self.generator.model.encoder.named_parameters() if p.ndim == 2)
        head = len(targets) * self.trunk.embedding().numel() + packed.real * self.trunk.width**2
        return Replaced(hidden, places, targets, chances, packed.flops + 6.0 * (packed.real * layers + head))

    def forward(self, batch: Replaced) -> Loss:
        """Both losses, summed over tokens; the generator's as if all had been hidden.

        So that of a token is the paper's: the mean over all tokens, and that over the hidden ones.
        """
        packed, places = batch.packed, batch.places
        logits = nn.functional.linear(
            self.transform(self.generator(packed, places)), self.trunk.embedding(), self.bias
        )
        told, _ = predict(logits, batch.targets)
        with torch.no_grad():
            drawn = sampled(logits, batch.chances)
            ids = packed.ids.flatten().scatter(0, places, drawn)
            replaced = torch.zeros_like(ids).scatter(0, places, (drawn != batch.targets).long())
        hidden = self.trunk(replace(packed, ids=ids.view_as(packed.ids)), packed.places)
        scores = self.head(hidden)[:, 0]
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        wrong = replaced[packed.places].to(scores.dtype)
        detection = nn.functional.binary_cross_entropy_with_logits(scores, wrong, reduction="sum")
        told = told / self.config.ratio
        right = ((scores > 0) == (wrong > 0)).sum()
        parts = {"generator": told, "detection": detection, "accuracy": right, "replaced": wrong.sum()}
        return Loss(told + self.config.detection * detection, batch.weight, parts)


def generator(trunk: Any, share: float) -> Trunk:
    """An ELECTRA of as many layers as the trunk and a share of its heads, on the trunk's table of tokens.

    Where the trunk embeds positions and types as BERT does, it shares those, too.
    """
    from transformers import ElectraConfig, ElectraModel

    own = trunk.model.config
    heads = max(1, round(share * own.num_attention_heads))
    width = heads * (trunk.width // own.num_attention_heads)
    rows, embedded = trunk.embedding().shape
    sizes = {
        "vocab_size": rows,
        "embedding_size": embedded,
        "hidden_size": width,
        "intermediate_size": 4 * width,
    }
    sizes |= {"num_attention_heads": heads, "num_hidden_layers": own.num_hidden_layers}
    drops = {
        "hidden_dropout_prob": getattr(own, "hidden_dropout_prob", 0.0),
        "attention_probs_dropout_prob": 0.0,
    }
    positions = {"max_position_embeddings": own.max_position_embeddings, "pad_token_id": own.pad_token_id}
    model: Any = ElectraModel(ElectraConfig(**sizes, **drops, **positions))
    if own.model_type in ("bert", "electra"):
        model.embeddings = trunk.model.embeddings
    else:
        model.embeddings.word_embeddings = trunk.model.get_input_embeddings()
    return Trunk(model)


def sampled(logits: Tensor, chances: Tensor) -> Tensor:
    """(m,) classes drawn by (m, classes) logits: where their cumulative chance passes a uniform number."""
    cumulative = logits.float().softmax(1).cumsum(1)
    return (cumulative <= chances[:, None]).sum(1).clamp(max=logits.shape[1] - 1)
