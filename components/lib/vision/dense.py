"""A class for every pixel: a light head on the features of all depths of a trunk.

Hypercolumns (Hariharan et al., CVPR 2015): the maps of every block are brought to one size and added after a
1 x 1 convolution each. So plain and residual networks and transformers are read alike.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from components.lib.errors import ConfigError
from components.lib.vision.networks import register

WIDTH = 32  # channels of the head
WEIGHTS = "model.safetensors"


class Segmenter(nn.Module):
    """Trunk and head; attributes as the models of `transformers` have them: config, base_model."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        register()
        self.config = config
        self.trunk: Any = AutoModel.from_config(config)
        widths = self._widths()
        if not widths:
            raise ConfigError("the trunk has no maps of features", where="kind", found=config.model_type)
        self.sides = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in widths)
        self.norm = nn.GroupNorm(4, WIDTH)
        self.mix = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.classify = nn.Conv2d(WIDTH, len(config.id2label), 1)

    @property
    def base_model(self) -> nn.Module:
        """The trunk."""
        return self.trunk

    def forward(self, pixel_values: Tensor) -> Tensor:
        """(n, C, H, W) -> (n, classes, H, W)."""
        size = list(pixel_values.shape[2:])
        maps = self._maps(pixel_values)
        sides = [
            nn.functional.interpolate(side(found), size, mode="bilinear", align_corners=False)
            for side, found in zip(self.sides, maps, strict=True)
        ]
        hidden = nn.functional.gelu(self.norm(torch.stack(sides).sum(dim=0)))
        logits: Tensor = self.classify(nn.functional.gelu(self.mix(hidden)))
        return logits

    def save_pretrained(self, folder: Path) -> None:
        """Writes config.json and the weights."""
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(folder)
        weights = {name: tensor.contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / WEIGHTS, {"format": "pt"})

    @classmethod
    def from_config(cls, config: Any) -> Segmenter:
        """One with random weights."""
        return cls(config)

    @classmethod
    def from_pretrained(cls, folder: Path, **options: Any) -> Segmenter:
        """What `save_pretrained` wrote."""
        register()
        model = cls(AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
        model.load_state_dict(load_file(Path(folder) / WEIGHTS))
        return model

    @torch.no_grad()
    def _widths(self) -> list[int]:
        """Channels of each block's map, seen on a blank image; batch norms must not learn from it."""
        self.trunk.eval()
        size = getattr(self.config, "image_size", 32)
        height, width = size if isinstance(size, list | tuple) else (size, size)
        maps = self._maps(torch.zeros(1, self.config.num_channels, height, width))
        self.trunk.train()
        return [found.shape[1] for found in maps]

    def _maps(self, pixels: Tensor) -> list[Tensor]:
        """(n, width, h, w) of each block."""
        found: list[Tensor] = []
        blocks = max((m for m in self.trunk.modules() if isinstance(m, nn.ModuleList)), key=len)

        def keep(module: nn.Module, given: Any, output: Any) -> None:
            found.append(output[0] if isinstance(output, tuple) else output)

        hooks = [block.register_forward_hook(keep) for block in blocks]
        try:
            self.trunk(pixel_values=pixels)
        finally:
            for hook in hooks:
                hook.remove()
        patch = getattr(self.config, "patch_size", 0)
        if patch:
            rows = pixels.shape[2] // patch
            return [
                tokens.transpose(1, 2).reshape(len(tokens), -1, rows, tokens.shape[1] // rows)
                for tokens in found
            ]
        return [tensor for tensor in found if tensor.ndim == 4]
