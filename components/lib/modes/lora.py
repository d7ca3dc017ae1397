"""LoRA: low-rank updates of the trunk's weights learn beside the head (Hu et al., ICLR 2022).

They are merged into the weights at the end: evaluation, gate and serving see a plain model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from components.lib.core.settings import setting
from components.lib.engine.losses import Row
from components.lib.modes import Fit

NEEDS = ()
STEPS = True
MOVES = True


@dataclass(frozen=True)
class Config:
    """The updates."""

    rank: int = setting(8, "of each update", minimum=1, maximum=1024)
    alpha: float = setting(16.0, "an update counts alpha / rank times", minimum=0.0, maximum=10_000.0)


def learn(fit: Fit) -> tuple[Any, list[Row]]:
    """Trains updates of all linear and convolution weights of the trunk, and the head."""
    from peft import LoraConfig, LoraModel
    from transformers.pytorch_utils import Conv1D

    trunk = fit.model.base_model
    kinds = (nn.Linear, nn.Conv2d, Conv1D)
    layers = {name: module for name, module in trunk.named_modules() if isinstance(module, kinds)}
    turned = any(isinstance(layer, Conv1D) for layer in layers.values())  # GPT-2's are (in, out)
    rank, alpha = fit.options.rank, fit.options.alpha
    options = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(layers), fan_in_fan_out=turned)
    adapted = LoraModel(trunk, options, "default")  # in place; all else of the trunk is frozen
    history = fit.train(fit.model)
    adapted.merge_and_unload()
    return fit.model.requires_grad_(True), history
