"""Configurations of audio networks by size, built by `transformers` with random weights.

wav2vec 2.0 (Baevski et al., NeurIPS 2020): seven convolutions over the waveform, a frame every 320 samples,
then a transformer. Layer norms, as in its large model: a clip is read the same whatever it is padded to.
`nano` and `micro` are for CPUs and tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# name: layers, width, heads, feed-forward, channels of the convolutions
SIZES = {
    "nano": (2, 64, 2, 128, 32),
    "micro": (3, 128, 4, 512, 64),
    "tiny": (4, 192, 6, 768, 128),
    "small": (6, 384, 6, 1536, 256),
    "base": (12, 768, 12, 3072, 512),
}
KERNELS, STRIDES = (10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)
WINDOW, HOP = 0.025, 0.010  # seconds of a log-mel frame, and from one to the next
REACH = 32  # frames that the positions of a small network see; base has 128

# name: channels of the blocks, width
MELCNN = {
    "nano": ((8, 16, 32, 32), 64),
    "micro": ((24, 48, 96, 192), 256),
    "tiny": ((32, 64, 128, 256), 384),
    "small": ((48, 96, 192, 384), 512),
    "base": ((64, 128, 256, 512), 1024),
}


def kernels(architecture: str, rate: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Sizes and strides of convolutions whose places are the frames that a network reads."""
    if architecture == "melcnn":
        return (round(WINDOW * rate),), (round(HOP * rate),)
    return KERNELS, STRIDES


def melcnn(size: str, dropout: float, rate: int) -> Any:
    """Convolutions on log-mel frames of waveforms at this rate; see `networks`."""
    from components.lib.models.audio.networks import MelCnnConfig

    (channels, width), ((window,), (hop,)) = MELCNN[size], kernels("melcnn", rate)
    frames = {"sampling_rate": rate, "window": window, "hop": hop}
    return MelCnnConfig(**frames, channels=list(channels), hidden_size=width)


def wav2vec2(size: str, dropout: float, rate: int) -> Any:
    """Of any rate; no mask is drawn but by objectives, and none of attention weights."""
    from transformers import Wav2Vec2Config

    layers, width, heads, inner, channels = SIZES[size]
    return Wav2Vec2Config(
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=inner,
        conv_dim=(channels,) * len(KERNELS),
        conv_kernel=KERNELS,
        conv_stride=STRIDES,
        conv_bias=False,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        num_conv_pos_embeddings=128 if size == "base" else REACH,
        num_conv_pos_embedding_groups=16 if size == "base" else heads,
        hidden_dropout=dropout,
        activation_dropout=dropout,
        feat_proj_dropout=dropout,
        final_dropout=dropout,
        attention_dropout=0.0,
        layerdrop=0.0,
        apply_spec_augment=False,
        mask_time_prob=0.05,  # else there is no vector that stands for a hidden frame
        classifier_proj_size=min(width, 256),
    )


ARCHITECTURES: dict[str, Callable[[str, float, int], Any]] = {"melcnn": melcnn, "wav2vec2": wav2vec2}
