"""Contrastive learning: two views of a sample agree, views of others do not.

NT-Xent: Chen et al., "SimCLR", ICML 2020. Triplet: Schroff et al., "FaceNet", CVPR 2015, with the hardest
negative of the batch (Hermans et al., 2017). Circle: Sun et al., "Circle loss", CVPR 2020. The modality makes
the views: crops of a document, or augmented images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.distributed import all_gather
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.engine.views import Views
from components.lib.models.collapse import PARTS, signs

NEEDS = ("views",)
WHOLE_BATCH = True  # the negatives are the batch: it must not be cut into micro-batches


@dataclass(frozen=True)
class Config:
    """The loss and the projection head."""

    loss: str = setting("nt_xent", "how views are compared", choices=("nt_xent", "triplet", "circle"))
    temperature: float = setting(
        0.05, "nt_xent: of the softmax over similarities", minimum=0.001, maximum=10.0
    )
    margin: float = setting(0.25, "triplet and circle: in cosine similarity", minimum=0.0, maximum=2.0)
    scale: float = setting(64.0, "circle: how sharp it is", minimum=0.1, maximum=1024.0)
    projection: int = setting(
        128, "width of the space in which views are compared; 0: that of the trunk, without a head", minimum=0
    )


class Objective(nn.Module):
    """Trunk, pooling and perhaps a two-layer projection head that is thrown away after pre-training."""

    PARTS = ("accuracy", *PARTS)

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        width = trunk.width
        self.head: nn.Module = nn.Identity()
        if config.projection:
            self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, config.projection))

    def prepare(self, samples: Any, draw: Draw) -> Views:
        """Two independent views of each sample."""
        first, second = samples.views(draw, 2)
        return Views(first, second, torch.from_numpy(draw.ids))

    def forward(self, batch: Views) -> Loss:
        """How far views are from their other view, among all views of the global batch, summed over views."""
        pooled = [self.trunk.pool(self.trunk(view), view) for view in (batch.first, batch.second)]
        first, second = (nn.functional.normalize(self.head(view).float(), dim=1) for view in pooled)
        rows, columns, all_ids = torch.cat([first, second]), torch.cat([first, second]), batch.ids
        if self.training:  # held-out batches are dealt to the processes whole
            columns, all_ids = torch.cat([all_gather(first), all_gather(second)]), self._all_ids(batch.ids)
        with torch.autocast(rows.device.type, enabled=False):  # bf16 cannot tell similar views apart
            similarity = compare(rows, columns, batch.ids, all_ids)
            total = LOSSES[self.config.loss](similarity, self.config)
        accuracy = (similarity.argmax(dim=1) == 0).sum()
        return Loss(total, batch.weight, {"accuracy": accuracy, **signs(pooled[0], pooled[1], batch.weight)})

    def _all_ids(self, ids: Tensor) -> Tensor:
        with torch.no_grad():
            return all_gather(ids[:, None].double()).long().flatten()


def compare(rows: Tensor, columns: Tensor, ids: Tensor, all_ids: Tensor) -> Tensor:
    """(2 n, 1 + 2 N) similarities: of a view to its other view, then to its negatives; -inf: no negative.

    Args:
        rows: (2 n, d) unit vectors of this process: first views, then second views.
        columns: (2 N, d) those of all processes, in the same order.
        ids: (n,) samples of the rows.
        all_ids: (N,) samples of the columns.
    """
    same = ids[:, None] == all_ids[None, :]
    negatives = (rows @ columns.T).masked_fill(same.repeat(2, 2), float("-inf"))
    offset = torch.argmax(same.int(), dim=1)  # where this process's samples stand among all
    other = torch.cat([offset + len(all_ids), offset])
    positive = (rows * columns[other]).sum(dim=1, keepdim=True)
    return torch.cat([positive, negatives], dim=1)


def nt_xent(similarity: Tensor, config: Config) -> Tensor:
    """Cross-entropy of finding the other view."""
    right = similarity.new_zeros(len(similarity), dtype=torch.long)
    return nn.functional.cross_entropy(similarity / config.temperature, right, reduction="sum")


def triplet(similarity: Tensor, config: Config) -> Tensor:
    """Triplet loss: by how much the most similar negative comes within the margin of the other view."""
    return (config.margin + similarity[:, 1:].amax(dim=1) - similarity[:, 0]).relu().sum()


def circle(similarity: Tensor, config: Config) -> Tensor:
    """Each similarity is weighted by how far it is from its optimum, 1 + margin or -margin."""
    margin, positive, negatives = config.margin, similarity[:, 0], similarity[:, 1:]
    pull = (1 + margin - positive.detach()).relu() * (positive - (1 - margin))
    real = negatives > float("-inf")
    zeroed = negatives.where(real, 0.0)
    push = (zeroed.detach() + margin).relu() * (zeroed - margin)
    pushes = (config.scale * push).masked_fill(~real, float("-inf")).logsumexp(dim=1)
    return nn.functional.softplus(pushes - config.scale * pull).sum()


LOSSES = {"nt_xent": nt_xent, "triplet": triplet, "circle": circle}
