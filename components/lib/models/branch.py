"""Branches that `transformers` has no class for: a trunk, what is put on it, and how both are kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from components.lib.models import loading
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
        if any(name.startswith("trunk.pooler.") for name in model.state_dict().keys() - weights.keys()):
            model.trunk.pooler = None  # as in the classifier of tokens that it was taken from
        model.load_state_dict(weights)
        return model

    @classmethod
    def fitting(cls, config: Any, weights: Mapping[str, Tensor]) -> Self:
        """One that these weights can be put into."""
        return cls(config)


def load_trunk(folder: Path) -> Any:
    """The model of a bare trunk in a folder, in evaluation mode."""
    return loading.model(AutoModel, folder).eval()


def architecture(folder: Path) -> str:
    """The class of the model in a folder, by its config.json."""
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0])


def width(config: Any) -> int:
    """Length of a trunk's hidden states."""
    return int(getattr(config, "hidden_size", 0) or config.hidden_sizes[-1])


def pooled(trunk: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """(n, width): the mean over the real tokens, the patches or the places of each sample, in fp32.

    Hidden states of a network that has one vector a sample are that vector. Published weights are pooled as
    their settings say: by their first or last token perhaps, and to length 1.
    """
    answer, pooling = trunk(**inputs), getattr(trunk.config, "pooling", "mean")
    if pooling == "pooler":
        return answer.pooler_output.float().flatten(1)
    hidden, mask = answer.last_hidden_state.float(), inputs.get("attention_mask")
    if mask is not None and mask.shape[1] != hidden.shape[1]:  # of samples, of which a place has many
        mask = trunk._get_feature_vector_attention_mask(hidden.shape[1], mask)
    vectors = _vectors(hidden, mask, pooling)
    scaled = getattr(trunk.config, "normalize", False)
    return nn.functional.normalize(vectors, dim=1) if scaled else vectors


def _vectors(hidden: Tensor, mask: Tensor | None, pooling: str) -> Tensor:
    if hidden.ndim == 2:
        return hidden
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "last" and mask is not None:
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(dim=1) - 1]
    if mask is not None:
        shares = mask / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.einsum("nlw,nl->nw", hidden, shares.to(hidden.dtype))
    return hidden.flatten(2).mean(dim=2) if hidden.ndim == 4 else hidden.mean(dim=1)
