"""Contrastive learning: two views of a sample agree, views of others do not.

NT-Xent: Chen et al., "SimCLR", ICML 2020. The modality makes the views: crops of a document, or augmented
images.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.config import setting
from components.lib.engine.distributed import gather
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss

MODALITIES = ("text",)
NEEDS = ()
WHOLE_BATCH = True  # the negatives are the batch: it must not be cut into micro-batches


@dataclass(frozen=True)
class Config:
    """The temperature and the projection head."""

    temperature: float = setting(0.05, "of the softmax over similarities", minimum=0.001, maximum=10.0)
    projection: int = setting(128, "width of the space in which views are compared", minimum=2)


@dataclass(frozen=True)
class Views:
    """Two views of the same samples.

    Attributes:
        ids: (n,) sample numbers: a sample that is in the batch twice is no negative of itself.
    """

    first: Any
    second: Any
    ids: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weight(self) -> float:
        """Views that are compared."""
        return 2.0 * len(self.ids)

    @property
    def real(self) -> int:
        """Tokens that carry data."""
        return int(self.first.real + self.second.real)

    @property
    def slots(self) -> int:
        """Tokens that are computed."""
        return int(self.first.slots + self.second.slots)

    @property
    def flops(self) -> float:
        """Of the trunk; the head's are few."""
        return float(self.first.flops + self.second.flops)

    def to(self, device: torch.device) -> Views:
        """The same on a device."""
        return replace(
            self, first=self.first.to(device), second=self.second.to(device), ids=self.ids.to(device)
        )


class Objective(nn.Module):
    """Trunk, pooling and a two-layer projection head that is thrown away after pre-training."""

    PARTS = ("accuracy",)

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        width = trunk.width
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.projection))

    def prepare(self, samples: Any, draw: Draw) -> Views:
        """Two independent views of each sample."""
        first, second = samples.views(draw, 2)
        return Views(first, second, torch.from_numpy(draw.ids))

    def forward(self, batch: Views) -> Loss:
        """Cross-entropy of finding the other view among all views of the global batch, summed over views."""
        first, second = self._project(batch.first), self._project(batch.second)
        rows, columns, all_ids = torch.cat([first, second]), torch.cat([first, second]), batch.ids
        if self.training:  # held-out batches are dealt to the processes whole
            columns, all_ids = torch.cat([gather(first), gather(second)]), self._all_ids(batch.ids)
        with torch.autocast(rows.device.type, enabled=False):  # bf16 cannot tell similar views apart
            total, accuracy = nt_xent(rows, columns, batch.ids, all_ids, self.config.temperature)
        return Loss(total, batch.weight, {"accuracy": accuracy})

    def _project(self, view: Any) -> Tensor:
        pooled = self.trunk.pool(self.trunk(view), view)
        return nn.functional.normalize(self.head(pooled).float(), dim=1)

    def _all_ids(self, ids: Tensor) -> Tensor:
        with torch.no_grad():
            return gather(ids[:, None].double()).long().flatten()


def nt_xent(
    rows: Tensor, columns: Tensor, ids: Tensor, all_ids: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Loss and hits, both summed over rows.

    Args:
        rows: (2 n, d) unit vectors of this process: first views, then second views.
        columns: (2 N, d) those of all processes, in the same order.
        ids: (n,) samples of the rows.
        all_ids: (N,) samples of the columns.
    """
    size = len(all_ids)
    logits = rows @ columns.T / temperature
    same = ids[:, None] == all_ids[None, :]
    logits = logits.masked_fill(same.repeat(2, 2), float("-inf"))
    offset = torch.argmax(same.int(), dim=1)  # where this process's samples stand among all
    other = torch.cat([offset + size, offset])
    positive = (rows * columns[other]).sum(dim=1, keepdim=True) / temperature
    logits = logits.scatter(1, other[:, None], positive)
    total = nn.functional.cross_entropy(logits, other, reduction="sum")
    return total, (logits.argmax(dim=1) == other).sum()
