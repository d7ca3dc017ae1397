"""Audio trunks: models of `transformers` that read waveforms."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from components.lib.modalities.audio.views import View
from components.lib.models import loading
from components.lib.models.audio import networks

networks.register()


class Trunk(nn.Module):
    """wav2vec 2.0, HuBERT or WavLM.

    Attributes:
        width: of the features of a frame.
        features: of what the convolutions give.
        kernels: sizes and strides of the convolutions.
        normalize: whether inputs have mean 0 and variance 1.
        rate: samples a second, of the tokens that it reads.
    """

    def __init__(self, model: Any, normalize: bool = True) -> None:
        super().__init__()
        config = model.config
        self.model: Any = model
        self.width: int = config.hidden_size
        self.features: int = config.conv_dim[-1]
        self.kernels = tuple(config.conv_kernel), tuple(config.conv_stride)
        self.normalize, self.rate = normalize, 16_000

    def forward(self, view: View) -> Tensor:
        """(n, frames, width): hidden states of the augmented clips."""
        hidden, _ = self.embed(view.samples(self.normalize))
        return self.encode(self.hide(hidden, view), view.frames)

    def embed(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """(n, samples) -> (n, frames, width) before the first layer, and (n, frames, features) normalised."""
        found, project = self.model.feature_extractor(samples).transpose(1, 2), self.model.feature_projection
        made = project(found)
        if isinstance(made, tuple):
            return made
        return made, project.layer_norm(found) if hasattr(project, "layer_norm") else found  # HuBERT's

    def hide(self, hidden: Tensor, view: View) -> Tensor:
        """Puts a learnt vector in place of the frames, and 0 in place of the features, that are hidden."""
        if "hidden" in view.extra:
            vector = self.model.masked_spec_embed.to(hidden.dtype)
            hidden = torch.where(view.extra["hidden"][:, :, None], vector, hidden)
        return without_bands(hidden, view)

    def encode(self, hidden: Tensor, frames: Tensor | None) -> Tensor:
        """The transformer; padded frames are seen by none.

        Args:
            frames: (n, frames) bool: the real ones; None: all.
        """
        encoder, kind = self.model.encoder, self.model.config.model_type
        if kind == "wavlm":  # whose layers share a bias of positions
            found: Tensor = encoder(hidden, attention_mask=frames).last_hidden_state
            return found
        mask = None
        if frames is not None:
            hidden = hidden.masked_fill(~frames[:, :, None], 0.0)
            mask = frames[:, None, None, :].expand(-1, 1, frames.shape[1], -1)
        hidden = hidden + encoder.pos_conv_embed(hidden)
        stable = self.model.config.do_stable_layer_norm
        hidden = encoder.dropout(hidden if stable else encoder.layer_norm(hidden))
        for layer in encoder.layers:
            hidden = layer(hidden, attention_mask=mask)
        normal: Tensor = encoder.layer_norm(hidden) if stable else hidden
        return normal

    def pool(self, hidden: Tensor, view: View) -> Tensor:
        """(n, width): the mean over real frames."""
        shares = view.frames / view.frames.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.einsum("nlw,nl->nw", hidden, shares.to(hidden.dtype))

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors, which `AutoModel.from_pretrained` reads."""
        loading.save(self.model, folder)


class MelTrunk(nn.Module):
    """Convolutions on log-mel frames.

    Attributes:
        width: of the vector of a clip.
        kernels: what a frame sees, and how far the next is, in samples.
        normalize: inputs have mean 0 and variance 1.
        rate: samples a second.
    """

    normalize = True

    def __init__(self, model: networks.MelCnn) -> None:
        super().__init__()
        self.model: Any = model
        self.width: int = model.config.hidden_size
        self.kernels = (model.mel.width,), (model.mel.step,)
        self.rate: int = model.config.sampling_rate

    def forward(self, view: View) -> Tensor:
        """(n, width): one vector a clip, of its augmented frames."""
        mel, _ = self.embed(view.samples(), view.frames)
        return self.encode(self.hide(mel, view), view.frames)

    def embed(self, samples: Tensor, frames: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(n, samples) -> (n, frames, bands), twice, as there are no layers between them.

        Args:
            frames: (n, frames) bool: the real ones; None: all.
        """
        if frames is None:
            count = conv_lengths(samples.shape[1], *self.kernels)
            frames = torch.ones((len(samples), count), dtype=torch.bool, device=samples.device)
        mel = self.model.mel.loudness(samples, frames)
        return mel, mel

    def hide(self, mel: Tensor, view: View) -> Tensor:
        """Stretches pitch, and puts silence in place of frames and bands that are hidden."""
        if "pitch" in view.extra:
            mel = stretched(mel, view.extra["pitch"])
        if "hidden" in view.extra:
            mel = mel.masked_fill(view.extra["hidden"][:, :, None], 0.0)
        return without_bands(mel, view)

    def encode(self, mel: Tensor, frames: Tensor | None) -> Tensor:
        """The network on (n, frames, bands); padded frames change nothing."""
        vectors: Tensor = self.model.encode(mel, frames)
        return vectors

    def pool(self, vectors: Tensor, view: View) -> Tensor:
        """(n, width): the vectors, as the network has pooled already."""
        return vectors

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors."""
        loading.save(self.model, folder)


def stretched(mel: Tensor, factors: Tensor) -> Tensor:
    """(n, frames, bands) as a voice has it whose pitches are those of this one times (n,) factors.

    Bands from above the last are silent. Vocal tract length perturbation, Jaitly and Hinton, 2013.
    """
    places = torch.arange(mel.shape[2], device=mel.device)
    source = places[None, None, :] / factors[:, None, None]
    weights = (1 - (source - places[None, :, None]).abs()).clamp(min=0)  # (n, bands, bands): linear
    return torch.bmm(mel, weights.to(mel.dtype))


def without_bands(hidden: Tensor, view: View) -> Tensor:
    """(n, frames, width) with 0 in the span of features that a view does not show."""
    if "bands" not in view.extra:
        return hidden
    places = torch.arange(hidden.shape[2], device=hidden.device)[None, :] / hidden.shape[2]
    begin, end = view.extra["bands"][:, None, 0:1], view.extra["bands"][:, None, 1:2]
    return hidden.masked_fill((places >= begin) & (places < end), 0.0)


def conv_lengths(lengths: Any, kernels: Sequence[int], strides: Sequence[int]) -> Any:
    """Places that convolutions without padding give for so many samples: of numbers, arrays or tensors."""
    for kernel, stride in zip(kernels, strides, strict=True):
        lengths = (lengths - kernel) // stride + 1
    return lengths


def reach(kernels: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """Samples that a place of such convolutions sees, and how many later the next place begins."""
    seen = 1 + sum((kernel - 1) * math.prod(strides[:place]) for place, kernel in enumerate(kernels))
    return seen, math.prod(strides)


def load(folder: Path, dropout: float | None = None) -> Trunk | MelTrunk:
    """A trunk from a folder that `Trunk.save` wrote, or of published weights.

    Args:
        folder: config.json and safetensors.
        dropout: of hidden states, to go on with; other random masks are switched off then, as they are no
            function of the sample. None: all as config.json says.

    Raises:
        DataError: if the weights are not those of config.json.
    """
    model = loading.trunk(folder, **loading.rates(folder, dropout))
    if model.config.model_type == networks.MelCnnConfig.model_type:
        return MelTrunk(model)
    path = folder / "preprocessor_config.json"
    told = json.loads(path.read_bytes()) if path.is_file() else {}
    return Trunk(model, bool(told.get("do_normalize", True)))


def built(config: Any) -> Trunk | MelTrunk:
    """A trunk with random weights."""
    model = AutoModel.from_config(config)
    return MelTrunk(model) if isinstance(model, networks.MelCnn) else Trunk(model)
