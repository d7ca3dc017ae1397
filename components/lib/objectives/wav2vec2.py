"""wav2vec 2.0: tell the quantised frame that was hidden from others of its clip.

Baevski et al., NeurIPS 2020. Targets are choices of codewords by Gumbel softmax (Jang et al., 2017) over the
convolutions' features; a diversity loss keeps all codewords in use. Negatives are other hidden frames of the
clip; one that is equal to the positive does not count. Values and gradients are those of `transformers`'
Wav2Vec2ForPreTraining. Statistics of codewords are those of the global batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine import device_noise
from components.lib.engine.distributed import all_reduce
from components.lib.engine.randomness import Draw, hashed
from components.lib.engine.trainable import Loss
from components.lib.modalities.audio.samples import hiding
from components.lib.modalities.audio.views import View

NEEDS = ("waveform", "frames")
WHOLE_BATCH = True  # the diversity of codewords is that of the batch


@dataclass(frozen=True)
class Config:
    """What is hidden, the codebooks and the two losses."""

    hidden: float = setting(
        0.65, "share of frames in hidden spans, which may overlap", minimum=0.01, maximum=1.0
    )
    span: int = setting(
        10, "frames of a span; in short clips a third of their frames", minimum=1, maximum=100
    )
    negatives: int = setting(100, "frames that each hidden one is told from", minimum=1, maximum=1000)
    groups: int = setting(2, "codebooks", minimum=1, maximum=16)
    codewords: int = setting(64, "of a codebook", minimum=2, maximum=4096)
    width: int = setting(128, "of all codewords of a frame together", minimum=2)
    projection: int = setting(128, "width of the space in which frames are compared", minimum=2)
    temperature: float = setting(0.1, "of the softmax over similarities", minimum=0.001, maximum=10.0)
    diversity: float = setting(0.1, "weight of the diversity loss", minimum=0.0, maximum=100.0)
    gumbel_start: float = setting(2.0, "temperature of the choice of codewords at first", minimum=0.01)
    gumbel_end: float = setting(0.5, "at the end", minimum=0.01)


class Objective(nn.Module):
    """Trunk, quantiser and the two projections, by the names that `transformers` has for them."""

    PARTS = ("contrastive", "diversity", "accuracy", "perplexity")

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        codes, part = config.groups * config.codewords, config.width // config.groups
        self.codewords = nn.Parameter(torch.rand(codes, part))
        self.choose = nn.Linear(trunk.features, codes)
        nn.init.normal_(self.choose.weight)
        nn.init.zeros_(self.choose.bias)
        self.project_q = nn.Linear(part * config.groups, config.projection)
        self.project_hid = nn.Linear(trunk.width, config.projection)
        self.temperature: Tensor
        self.register_buffer("temperature", torch.tensor(config.gumbel_start))

    def prepare(self, samples: Any, draw: Draw) -> View:
        """Crops, the frames that are hidden, which others each is told from, and keys of Gumbel noise."""
        view = hiding(samples.view(draw, "view"), draw, self.config.hidden, self.config.span)
        others = _others(draw, view.extra["hidden"].numpy(), self.config.negatives)
        keys = (hashed(draw.seed, "gumbel", draw.epochs, draw.ids) >> np.uint64(33)).astype(np.int32)
        return view.plus(negatives=torch.from_numpy(others), gumbel=torch.from_numpy(keys))

    def forward(self, batch: View) -> Loss:
        """Contrastive and diversity loss, summed over hidden frames."""
        hidden, features = self.trunk.embed(batch.samples(self.trunk.normalize))
        hidden = self.trunk.encode(self.trunk.hide(hidden, batch), batch.frames)
        noise = None
        if self.training:
            count = features.shape[1] * len(self.codewords)
            uniform = device_noise.uniform(batch.extra["gumbel"], count)
            noise = -torch.log(-torch.log(uniform)).view(*features.shape[:2], -1)
        with torch.autocast(hidden.device.type, enabled=False):
            mask, others = batch.extra["hidden"], batch.extra["negatives"]
            return self.loss(promoted(hidden), promoted(features), mask, others, noise, batch.weight)

    def loss(
        self,
        hidden: Tensor,
        features: Tensor,
        mask: Tensor,
        others: Tensor,
        noise: Tensor | None,
        weight: float,
    ) -> Loss:
        """Equations 2 to 4 of the paper.

        Args:
            hidden: (n, frames, width) of the transformer.
            features: (n, frames, features) of the convolutions.
            mask: (n, frames) bool: the hidden ones.
            others: (n, frames, negatives) frames of the same clip.
            noise: (n, frames, codes) Gumbel noise; None: the likeliest codeword is chosen.
        """
        config = self.config
        targets, perplexity = self.quantise(features, mask, noise)
        targets, guesses = self.project_q(targets), self.project_hid(hidden)
        keys = digests(targets)
        same = keys.gather(1, others.flatten(1)).view_as(others) == keys[:, :, None]
        similar = nn.functional.normalize(guesses, dim=2) @ nn.functional.normalize(targets, dim=2).mT
        positive = similar.diagonal(dim1=1, dim2=2)[:, :, None]
        negatives = similar.gather(2, others).masked_fill(same, -torch.inf)
        logits = torch.cat([positive, negatives], dim=2) / config.temperature
        apart = logits.logsumexp(dim=2) - logits[:, :, 0]
        contrastive = apart.masked_fill(~mask, 0.0).sum()
        codes = len(self.codewords)
        diversity = (codes - perplexity) / codes * weight
        right = ((logits.argmax(dim=2) == 0) & mask).sum()
        parts = {
            "contrastive": contrastive,
            "diversity": diversity,
            "accuracy": right,
            "perplexity": perplexity * weight,
        }
        return Loss(contrastive + config.diversity * diversity, weight, parts)

    def quantise(self, features: Tensor, mask: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """(n, frames, width) chosen codewords, and () how many of all are in use, over the global batch."""
        scores = self.choose(features).unflatten(2, (self.config.groups, -1))
        soft = scores.softmax(dim=3)
        if noise is None:
            chosen = usage = nn.functional.one_hot(scores.argmax(dim=3), scores.shape[3]).to(scores.dtype)
        else:
            drawn = ((scores + noise.view_as(scores)) / self.temperature).softmax(dim=3)
            hard = nn.functional.one_hot(drawn.argmax(dim=3), scores.shape[3]).to(scores.dtype)
            chosen, usage = hard - drawn.detach() + drawn, soft
        counts = torch.where(mask[:, :, None, None], usage, 0.0).sum(dim=(0, 1))
        sums = torch.cat([counts.flatten(), mask.sum().to(counts.dtype)[None]])
        sums = all_reduce(sums) if self.training else sums
        shares = (sums[:-1] / sums[-1].clamp(min=1)).view_as(counts)
        perplexity = (-torch.xlogy(shares, shares).sum(dim=1)).exp().sum()
        table = self.codewords.view(self.config.groups, self.config.codewords, -1)
        return torch.einsum("nlgc,gcd->nlgd", chosen, table.to(chosen.dtype)).flatten(2), perplexity

    @torch.no_grad()
    def after_step(self, step: int, steps: int) -> None:
        """Lowers the temperature of the choice, by the same factor each step."""
        done = min(1.0, (step + 1) / max(1, steps))
        start, end = self.config.gumbel_start, self.config.gumbel_end
        self.temperature.fill_(start * math.exp(done * math.log(end / start)))


def digests(rows: Tensor) -> Tensor:
    """(n, frames, d) -> (n, frames) words of 64 bits, the same where all numbers of a row are, to the bit."""
    words = rows.detach().contiguous().view(torch.int32).long()
    factors = torch.arange(words.shape[2], device=rows.device) * 0x632BE59BD9B4E019 | 1
    return (words * factors).sum(dim=2)


def promoted(values: Tensor) -> Tensor:
    """bf16 as fp32: similar frames cannot be told apart otherwise."""
    return values if values.dtype == torch.float64 else values.float()


def _others(draw: Draw, hidden: Any, count: int) -> Any:
    """(n, frames, count) other hidden frames of the clip, uniformly; itself where there is none."""
    rows, width = hidden.shape
    chance = draw.uniform("negatives", width * count).reshape(rows, width, count)
    many = hidden.sum(axis=1)
    order = np.argsort(~hidden, axis=1, kind="stable")  # the hidden frames first, in their order
    rank = np.cumsum(hidden, axis=1) - 1
    picked = (chance * np.maximum(many - 1, 1)[:, None, None]).astype(np.int64)
    picked += picked >= rank[:, :, None]
    picked = np.minimum(picked, np.maximum(many - 1, 0)[:, None, None])
    return np.take_along_axis(order, picked.reshape(rows, -1), axis=1).reshape(picked.shape)
