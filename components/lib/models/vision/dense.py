"""Features for every place of an image, from all depths of a trunk, for heads that answer place by place.

Hypercolumns (Hariharan et al., CVPR 2015): the maps of every block are brought to one size and added after a
1 x 1 convolution each. So plain and residual networks and transformers are read alike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from components.lib.core.errors import ConfigError
from components.lib.models.branch import Branch

WIDTH = 32  # channels of the features


class Dense(Branch):
    """Trunk and hypercolumns.

    Attributes:
        STRIDE: pixels between the places that have features.
    """

    STRIDE = 1

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        widths = self._widths()
        if not widths:
            raise ConfigError("the trunk has no maps of features", where="kind", found=config.model_type)
        self.sides = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in widths)
        self.norm = nn.GroupNorm(4, WIDTH)
        self.mix = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def features(self, pixel_values: Tensor) -> Tensor:
        """(n, C, H, W) -> (n, WIDTH, H / STRIDE, W / STRIDE), rounded up."""
        size = [-(-side // self.STRIDE) for side in pixel_values.shape[2:]]
        maps = self._maps(pixel_values)
        sides = [
            nn.functional.interpolate(side(found), size, mode="bilinear", align_corners=False)
            for side, found in zip(self.sides, maps, strict=True)
        ]
        hidden = nn.functional.gelu(self.norm(torch.stack(sides).sum(dim=0)))
        return nn.functional.gelu(self.mix(hidden))

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
