"""A convolutional network on log-mel frames, as a `transformers` model: one vector a clip.

As the encoders of COLA (Saeed et al., 2021) and BYOL-A (Niizuma et al., 2021): convolutions over time and
pitch, a layer on what a moment holds, then its mean and its maximum over time. `register` adds it to the Auto
classes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForAudioClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput

from components.lib.models.audio.mel import LogMel


class MelCnnConfig(PreTrainedConfig):  # type: ignore[misc]
    """Samples of a frame, and from one to the next; channels of the blocks, and width of the vector."""

    model_type = "mel_cnn"
    sampling_rate: int = 16_000
    window: int = 400
    hop: int = 160
    bands: int = 40
    channels: list[int] | tuple[int, ...] = (24, 48, 96, 192)
    hidden_size: int = 256


class _Pretrained(PreTrainedModel):  # type: ignore[misc]
    config_class = MelCnnConfig
    base_model_prefix = "trunk"
    main_input_name = "input_values"
    input_modalities = ("audio",)

    def _init_weights(self, module: nn.Module) -> None:
        """He initialisation for what feeds a ReLU; norms as torch has them; a head as BERT's."""
        feeds = module is getattr(self, "moment", None)
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=(2 / module.in_features) ** 0.5 if feeds else 0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


class MelCnn(_Pretrained):
    """Blocks of 3 x 3 convolution, batch norm and ReLU; all halve pitch, the first three halve time too."""

    def __init__(self, config: MelCnnConfig) -> None:
        super().__init__(config)
        widths = [1, *config.channels]
        self.mel = LogMel(config.bands, config.sampling_rate, config.window, config.hop)
        self.strides = [2 if place < 3 else 1 for place in range(len(config.channels))]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, stride=(stride, 2), padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU()
            )
            for (a, b), stride in zip(pairwise(widths), self.strides, strict=True)
        )
        rows = -(-config.bands // 2 ** len(config.channels))
        self.moment = nn.Linear(widths[-1] * rows, config.hidden_size)
        self.post_init()

    def forward(
        self, input_values: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> BaseModelOutput:
        """(n, samples) waveforms, padded -> last_hidden_state (n, width): one vector a clip."""
        count, most = input_values.shape
        lengths = input_values.new_full((count,), most) if attention_mask is None else attention_mask.sum(1)
        samples = nn.functional.pad(input_values, (0, max(0, self.mel.width - most)))
        places = torch.arange((samples.shape[1] - self.mel.width) // self.mel.step + 1, device=samples.device)
        frames = places < ((lengths - self.mel.width) // self.mel.step + 1).clamp(min=1)[:, None]
        return BaseModelOutput(last_hidden_state=self.encode(self.mel.loudness(samples, frames), frames))

    def encode(self, mel: Tensor, frames: Tensor | None) -> Tensor:
        """(n, frames, bands) and which (n, frames) are real -> (n, width); padding changes nothing."""
        hidden = mel[:, None]
        real = mel.new_ones(mel.shape[:2], dtype=torch.bool) if frames is None else frames
        for block, stride in zip(self.blocks, self.strides, strict=True):
            real = real[:, ::stride]
            hidden = block(hidden).masked_fill(~real[:, None, :, None], 0.0)
        moments = self.moment(hidden.transpose(1, 2).flatten(2)).relu() * real[:, :, None]
        return moments.sum(dim=1) / real.sum(dim=1, keepdim=True) + moments.amax(dim=1)


class MelCnnForAudioClassification(_Pretrained):
    """A linear layer on the vector of a clip."""

    def __init__(self, config: MelCnnConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.trunk = MelCnn(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, input_values: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> SequenceClassifierOutput:
        """Logits (n, classes)."""
        return SequenceClassifierOutput(
            logits=self.classifier(self.trunk(input_values, attention_mask).last_hidden_state)
        )


def register() -> None:
    """Registers the network with the Auto classes of `transformers`; idempotent."""
    AutoConfig.register(MelCnnConfig.model_type, MelCnnConfig, exist_ok=True)
    AutoModel.register(MelCnnConfig, MelCnn, exist_ok=True)
    AutoModelForAudioClassification.register(MelCnnConfig, MelCnnForAudioClassification, exist_ok=True)
