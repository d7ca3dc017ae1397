"""Image trunks: models that read pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from components.lib.modalities.image.views import View
from components.lib.models import loading
from components.lib.models.vision.networks import register

register()


class Trunk(nn.Module):
    """A model of `transformers` that reads pixels.

    Attributes:
        width: of the features of a place.
        shape: channels, height and width of what it reads.
        patches, flat: whether it is a ViT; whether it has no places at all.
        pooling: of published weights: by a ViT's "cls" token, or "pooler", the network's own; else "".
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model
        size = getattr(model.config, "input_size", None) or model.config.image_size
        height, width = size if isinstance(size, list | tuple) else (size, size)
        self.shape: tuple[int, int, int] = (model.config.num_channels, height, width)
        self.patches = hasattr(model.config, "num_attention_heads")
        self.pooling: str = getattr(model.config, "pooling", "")
        self.flat = model.config.model_type == "small_mlp"
        self.width: int = model.config.hidden_size if self.patches else model.config.hidden_sizes[-1]
        if not self.patches:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, view: View) -> Tensor:
        """Hidden states of the augmented images, as `read` returns them."""
        return self.read(view.pixels())

    def read(self, pixels: Tensor) -> Tensor:
        """(n, C, H, W) normalised pixels -> (n, patches, width) of a ViT, else (n, width, h, w)."""
        if not self.patches:
            pixels = pixels.contiguous(memory_format=torch.channels_last)
        hidden: Tensor = self.model(pixel_values=pixels).last_hidden_state
        return hidden

    def pool(self, hidden: Tensor, view: View | None = None) -> Tensor:
        """-> (n, width): the mean over places, as this architecture's classifier pools."""
        if self.pooling == "cls":
            return hidden[:, 0]
        pooled = hidden.mean(dim=1) if self.patches else hidden.mean(dim=(2, 3))
        norm = getattr(self.model, "layernorm", None) if self.pooling == "pooler" else None  # ConvNeXt's
        return pooled if norm is None else norm(pooled)

    def maps(self, hidden: Tensor) -> Tensor:
        """-> (n, width, h, w): hidden states where they stand in the image."""
        if not self.patches:
            return hidden
        rows, columns = (side // self.model.config.patch_size for side in self.shape[1:])
        return hidden.transpose(1, 2).reshape(-1, self.width, rows, columns)

    def embed(self, pixels: Tensor) -> Tensor:
        """(n, patches, width) of a ViT before its first layer: what may be hidden."""
        tokens: Tensor = self.model.embeddings(pixels)
        return tokens

    def encode(self, tokens: Tensor) -> Tensor:
        """The layers of a ViT on some of its patches."""
        for layer in self.model.layers:
            tokens = layer(tokens)
        hidden: Tensor = self.model.layernorm(tokens)
        return hidden

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors, which `AutoModel.from_pretrained` reads."""
        loading.save(self.model, folder)


def load(folder: Path, dropout: float | None = None) -> Trunk:
    """A trunk from a folder that `Trunk.save` wrote, or of published weights.

    Args:
        folder: config.json and safetensors.
        dropout: of a ViT's hidden states, to go on with; other random masks are switched off then, as they
            are not a function of the sample. None: all as config.json says.

    Raises:
        DataError: if the weights are not those of config.json.
    """
    return Trunk(loading.trunk(folder, **loading.rates(folder, dropout)))


def built(config: Any) -> Trunk:
    """A trunk with random weights."""
    return Trunk(AutoModel.from_config(config))
