"""Branches that `transformers` has no class for: a trunk, what a task puts on it, and how both are kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from components.lib.models.vision.networks import register

WEIGHTS = "model.safetensors"


class Branch(nn.Module):
    """Trunk with random weights; attributes as the models of `transformers` have them: config, base_model."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        register()
        self.config = config
        self.trunk: Any = AutoModel.from_config(config)

    @property
    def base_model(self) -> nn.Module:
        """The trunk."""
        return self.trunk

    def save_pretrained(self, folder: Path) -> None:
        """Writes config.json and the weights."""
        folder.mkdir(parents=True, exist_ok=True)
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(folder)
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / WEIGHTS, {"format": "pt"})

    @classmethod
    def from_config(cls, config: Any) -> Self:
        """One with random weights."""
        return cls(config)

    @classmethod
    def from_pretrained(cls, folder: Path, **options: Any) -> Self:
        """What `save_pretrained` wrote."""
        register()
        weights = load_file(Path(folder) / WEIGHTS)
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = cls.fitting(config, weights)
        model.load_state_dict(weights)
        return model

    @classmethod
    def fitting(cls, config: Any, weights: Mapping[str, Tensor]) -> Self:
        """One that these weights can be put into."""
        return cls(config)
