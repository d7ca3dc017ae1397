"""Next sentence prediction: does the second text follow the first? (Devlin et al., "BERT", 2019).

Or sentence order prediction: do the two stand in their order? (Lan et al., "ALBERT", 2020). With masked_lm it
is BERT's own objective: both then read the same pairs in one pass of the trunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from components.lib.core.settings import setting
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import Loss
from components.lib.models.text.packing import Targets
from components.lib.models.text.prediction import predict

NEEDS = ("tokens", "bidirectional", "sentences")


@dataclass(frozen=True)
class Config:
    """What half of the pairs are."""

    kind: str = setting(
        "next_sentence",
        "a false pair has its second text from another document, or (sentence_order) the two are swapped",
        choices=("next_sentence", "sentence_order"),
    )


class Objective(nn.Module):
    """The pooler that the architecture has, else a new one, on the first token, and a linear layer."""

    PARTS = ("accuracy",)
    OWN_ROWS: ClassVar = True  # pairs, which other objectives may read as well

    def __init__(self, config: Config, trunk: Any) -> None:
        super().__init__()
        self.config, self.trunk = config, trunk
        own = getattr(trunk.model, "pooler", None)
        self.pooler = (
            None if own is not None else nn.Sequential(nn.Linear(trunk.width, trunk.width), nn.Tanh())
        )
        self.head = nn.Linear(trunk.width, 2)

    def prepare(self, samples: Any, draw: Draw) -> Targets:
        """Pairs of texts; class 1 is false, as BERT has it."""
        packed, false = samples.pairs(draw, swapped=self.config.kind == "sentence_order")
        places = packed.places[packed.starts[:-1]]
        head = 6.0 * len(places) * self.trunk.width**2
        return Targets(packed, places, false, head, 6.0 * self.trunk.unread)

    def forward(self, batch: Targets) -> Loss:
        """Cross-entropy, summed over pairs."""
        return self.read(self.trunk(batch.packed, batch.places), batch)

    def read(self, hidden: Tensor, batch: Targets) -> Loss:
        """The same of the first tokens' (n, width) states."""
        pooled = self.trunk.model.pooler(hidden[:, None]) if self.pooler is None else self.pooler(hidden)
        total, hits = predict(self.head(pooled), batch.targets)
        return Loss(total, batch.weight, {"accuracy": hits})
