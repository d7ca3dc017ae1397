"""Dual encoder: an image tower and a text tower with linear projections to one space, as one model.

A folder holds config.json and the projections; the towers are folders of their own within it, each a model
that `AutoModel` loads, with the files of its reader.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel

from components.lib.models import loading
from components.lib.models.branch import pooled, width
from components.lib.models.text import static
from components.lib.models.vision.networks import register as register_vision

TOWERS = ("image", "text")
WEIGHTS = "model.safetensors"
TEMPERATURE = 0.07  # at first, as in CLIP


class DualEncoderConfig(PretrainedConfig):  # type: ignore[misc]
    """Configs of both towers, and the width of the space in which they meet."""

    model_type = "dual_encoder"

    def __init__(
        self,
        image: Any = None,
        text: Any = None,
        projection: int = 128,
        towers: Sequence[str] = TOWERS,
        **options: Any,
    ) -> None:
        self.image, self.text, self.projection = dict(image or {}), dict(text or {}), projection
        self.towers = list(towers)  # that there are: some branches need but one
        super().__init__(**options)

    @property
    def hidden_size(self) -> int:
        """Width of an embedding."""
        return self.projection

    def tower(self, name: str) -> Any:
        """The config of a tower."""
        values = dict(getattr(self, name))
        return AutoConfig.for_model(values.pop("model_type"), **values)


class DualEncoder(PreTrainedModel):  # type: ignore[misc]
    """Images and texts to unit vectors; `scale` is the logarithm of the inverse temperature."""

    config_class = DualEncoderConfig
    base_model_prefix = "model"

    def __init__(self, config: DualEncoderConfig, towers: dict[str, Any] | None = None) -> None:
        super().__init__(config)
        made = towers or {name: AutoModel.from_config(config.tower(name)) for name in config.towers}
        for name, tower in made.items():
            self.add_module(name, tower)
            self.add_module(f"to_{name}", nn.Linear(width(tower.config), config.projection, bias=False))
        self.scale = nn.Parameter(torch.full((1,), -math.log(TEMPERATURE)))
        self.all_tied_weights_keys: dict[str, str] = {}

    def images(self, **inputs: Tensor) -> Tensor:
        """(n, projection) unit vectors of images."""
        return nn.functional.normalize(self.to_image(pooled(self.image, inputs)), dim=1)

    def texts(self, **inputs: Tensor) -> Tensor:
        """(n, projection) unit vectors of texts."""
        return nn.functional.normalize(self.to_text(pooled(self.text, inputs)), dim=1)

    def forward(
        self, pixel_values: Tensor | None = None, places: Tensor | None = None, **texts: Tensor
    ) -> Any:
        """`last_hidden_state` (n, projection): of each row the image, or else the text.

        Args:
            places: (images,) rows that are images; None: all are what is given.
        """
        found = [] if pixel_values is None else [self.images(pixel_values=pixel_values)]
        found += [self.texts(**texts)] if texts else []
        rows = torch.cat(found)
        if places is not None:
            others = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
            others[places] = False
            rows = torch.empty_like(rows).index_copy(0, torch.cat([places, others.nonzero().flatten()]), rows)
        return SimpleNamespace(last_hidden_state=rows)

    def save_pretrained(self, folder: Any, **options: Any) -> None:
        """Writes config.json, the projections, and each tower to a folder of its own."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        self.config.architectures = [type(self).__name__]
        self.config.save_pretrained(place)
        own = {name: value.contiguous() for name, value in self.state_dict().items() if not _of_tower(name)}
        save_file(own, place / WEIGHTS, {"format": "pt"})
        for name in TOWERS:
            (place / name).mkdir(exist_ok=True)
            loading.save(getattr(self, name), place / name)

    @classmethod
    def from_pretrained(cls, folder: Any, *_: Any, output_loading_info: bool = False, **__: Any) -> Any:
        """What `save_pretrained` wrote; of published towers the projections are missing, and stay random."""
        place = Path(folder)
        config = DualEncoderConfig.from_json_file(place / "config.json")
        model = cls(config, {name: loading.trunk(place / name) for name in TOWERS})
        told = model.load_state_dict(load_file(place / WEIGHTS), strict=False)
        missing = [name for name in told.missing_keys if not _of_tower(name)]
        info = {"missing_keys": missing, "mismatched_keys": list(told.unexpected_keys)}
        return (model.eval(), info) if output_loading_info else model.eval()


def _of_tower(name: str) -> bool:
    return name.partition(".")[0] in TOWERS


def register() -> None:
    """Makes `AutoConfig` and `AutoModel` know dual encoders and the networks of their towers."""
    register_vision()
    static.register()
    AutoConfig.register(DualEncoderConfig.model_type, DualEncoderConfig, exist_ok=True)
    AutoModel.register(DualEncoderConfig, DualEncoder, exist_ok=True)
