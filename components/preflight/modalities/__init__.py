"""What only one kind of data can get wrong, told before a run: one file a modality.

A modality declares `objective(name, says, pretraining)` and `task(config, pretraining, where)`, which yield
errors, `warnings(pretraining)`, which yields what is told but stops nothing, and `follow(trunk)`, the
settings of tokenization with which a run reads as the trunk does that it starts from. `says` are the
constants of an objective's file. Plugins are read, not imported: there is no torch.
"""

from __future__ import annotations

from typing import Any

from components.lib.core import plugins
from components.preflight.references import MODALITIES


def load(name: str) -> Any:
    """The file of a modality; raises ConfigError that lists those that exist."""
    return plugins.load(__name__, name)


def dials(pretraining: Any) -> dict[str, Any]:
    """The trunk's options, with the modality's defaults."""
    fields = plugins.load(MODALITIES, pretraining.modality, "settings").Pretraining.__dataclass_fields__
    return {**{name: field.default for name, field in fields.items()}, **pretraining.trunk}
