"""Knowledge distillation: a trunk learns the states or vectors of a larger one that is frozen.

States of tokens by their cosine, as Sanh et al., "DistilBERT", 2019; vectors as Reimers and Gurevych, EMNLP
2020. Both see the same views (Beyer et al., "A good teacher is patient and consistent", CVPR 2022). Without a
teacher it is the trunk as it started: what it knows is kept while other objectives teach it more (Li and
Hoiem, "Learning without forgetting", 2016).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from components.lib.core.errors import ConfigError
from components.lib.core.settings import setting
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.engine.views import Views

NEEDS = ("views",)
TEACHER = True  # it is given the trunk that its option `teacher` names


@dataclass(frozen=True)
class Config:
    """Whose knowledge, and which."""

    teacher: str = setting(
        "",
        "alias of a trunk (champion) or published weights (hf:, pypi:, s3://, a folder) that read the same "
        "tokens; empty: the trunk as it starts",
    )
    learns: str = setting(
        "vectors",
        "a sample's vector, or the state of each of its tokens",
        choices=("vectors", "states"),
    )


class TokenViews(Views):
    """Views whose tokens are compared."""

    @property
    def weight(self) -> float:
        """Tokens."""
        return float(self.real)


class Objective(nn.Module):
    """The trunk, and a linear layer to the teacher's width that is thrown away.

    The teacher is not a submodule: it is neither trained, nor cut up, nor in checkpoints.

    Raises:
        ConfigError: if the teacher reads other batches than the trunk.
    """

    PARTS = ("similarity",)

    def __init__(self, config: Config, trunk: Any, teacher: Any = None) -> None:
        super().__init__()
        if teacher is not None and type(teacher) is not type(trunk):
            kinds = (one.model.config.model_type for one in (teacher, trunk))
            what, where = (
                "the teacher reads other batches than the trunk",
                "pretraining.objective.distillation",
            )
            raise ConfigError(what, where=where, found=" and ".join(kinds), fix="choose another architecture")
        self.config, self.trunk = config, trunk
        frozen = (copy.deepcopy(trunk) if teacher is None else teacher).eval().requires_grad_(False)
        self._teachers = (frozen,)
        sizes = [sum(one.numel() for one in model.parameters()) for model in (frozen, trunk)]
        self.passes = 1 + sizes[0] / sizes[1] / 3  # the teacher goes forward only
        self.head = nn.Linear(trunk.width, frozen.width)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """The teacher goes where the trunk goes."""
        self._teachers[0]._apply(fn)
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def prepare(self, samples: Any, draw: Draw) -> Views:
        """Two independent views of each sample; ConfigError if states are asked of what has no tokens."""
        first, second = samples.views(draw, 2)
        states = self.config.learns == "states"
        if states and not hasattr(first, "places"):
            where, what = "pretraining.objective.distillation.learns", "this trunk has no states of tokens"
            raise ConfigError(what, where=where, found="states", expected="vectors")
        return (TokenViews if states else Views)(first, second, torch.from_numpy(draw.ids), self.passes)

    def forward(self, batch: Views) -> Loss:
        """1 - cosine of what trunk and teacher make of a view, summed over vectors or tokens."""
        found = []
        for view in (batch.first, batch.second):
            with torch.no_grad():
                target = self._seen(self._teachers[0], view)
            guess = self.head(self._seen(self.trunk, view))
            wide = torch.promote_types(guess.dtype, torch.float32)
            found.append(nn.functional.cosine_similarity(guess.to(wide), target.to(wide), dim=1).sum())
        similarity = torch.stack(found).sum()
        return Loss(batch.weight - similarity, batch.weight, {"similarity": similarity})

    def _seen(self, trunk: Any, view: Any) -> Tensor:
        """(n, width) vectors, or (T, width) states."""
        states = self.config.learns == "states"
        seen: Tensor = trunk(view, view.places) if states else trunk.pool(trunk(view), view)
        return seen
