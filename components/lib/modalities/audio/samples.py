"""Samples of pre-training on audio: crops of waveforms in, augmented views out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.core.errors import ConfigError, DataError
from components.lib.engine.randomness import Draw, hashed
from components.lib.engine.transfer import moved
from components.lib.modalities.audio import spectrogram
from components.lib.modalities.audio.settings import Pretraining
from components.lib.modalities.audio.trunk import MelTrunk, Trunk, built, conv_lengths, load
from components.lib.modalities.audio.views import View
from components.lib.modalities.audio.waveforms import Ints, WaveformShards
from components.lib.modalities.image.pictures import Picture, neighbours, scattered
from components.lib.models.audio.architectures import ARCHITECTURES, kernels
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

SHOWN, MAPPED = 12, 512  # clips in a row of a picture, and on a map


class Clips:
    """Samples of one split, and views of them: of a long clip one sample for each crop that fits into it.

    Args:
        shards: len, read, lengths, rate and fresh.
    """

    def __init__(self, config: Pretraining, shards: Any) -> None:
        self.config, self.shards, self.rate = config, shards, int(shards.rate)
        self.crop = round(config.seconds * self.rate)
        counts = np.maximum(1, shards.lengths // self.crop)
        self._clips: Ints = np.repeat(np.arange(len(counts)), counts)
        self.fresh = int(counts[: shards.fresh].sum())  # samples that are not of older tokens
        self.kernels = kernels(config.architecture, self.rate)
        self.flops = 0.0  # of one sample, forward and backward

    def __len__(self) -> int:
        return len(self._clips)

    def view(self, draw: Draw, stream: str) -> View:
        """Each sample once, with the noise and speed of the settings but nothing hidden."""
        return self._view(draw, stream, augmented=draw.training)

    def views(self, draw: Draw, count: int) -> list[View]:
        """`count` independent augmentations of each sample, for a contrastive loss, with hidden frames."""
        return [
            self._hiding(self._view(draw, f"view {number}"), draw, f"view {number}")
            for number in range(count)
        ]

    def frames(self, lengths: Ints) -> Ints:
        """Places of the network for so many samples."""
        return conv_lengths(lengths, *self.kernels)

    def trunk(self, folder: Path | None = None) -> Trunk | MelTrunk:
        """The trunk in a folder, or a new one with random weights.

        Raises:
            ConfigError: if a crop is too short for it, or it has other frames than all networks here.
        """
        config, make = self.config, ARCHITECTURES[self.config.architecture]
        if folder is None:
            trunk = built(make(config.size, config.dropout, self.rate))
        else:
            trunk = load(folder, config.dropout)
        if trunk.kernels != self.kernels:
            what, where = "the network reads other frames than those of its kind", "pretraining.start"
            raise ConfigError(what, where=where, found=trunk.kernels, expected=self.kernels)
        trunk.rate = self.rate
        if self.frames(np.array([self.crop]))[0] < 2:
            what, found = "samples are too short for the network", config.seconds
            raise ConfigError(
                what, where="pretraining.trunk.seconds", found=found, expected="2 frames or more"
            )
        self.flops = 3.0 * _forward_flops(trunk, self.crop)
        return trunk

    def _view(self, draw: Draw, stream: str, augmented: bool = True) -> View:
        """Crops from random places, at a random speed."""
        config = self.config
        place, fast, loud, _ = draw.uniform(stream, 4).T
        factors = 1 + (config.speed * (2 * fast - 1) if augmented else np.zeros(len(draw)))
        waves, lengths = np.zeros((len(draw), self.crop), np.int16), np.zeros(len(draw), np.int64)
        for row, (clip, share, factor) in enumerate(zip(self._clips[draw.ids], place, factors, strict=True)):
            wanted = round(self.crop * factor)
            spare = max(0, int(self.shards.lengths[clip]) - wanted)
            found = np.asarray(self.shards.read(int(clip), int(share * (spare + 1)), wanted))
            found = faster(found, factor) if factor != 1 else found
            lengths[row] = count = min(len(found), self.crop)
            waves[row, :count] = found[:count]
        extra: dict[str, Tensor] = {}
        if config.noise and augmented:
            keys = (hashed(draw.seed, f"{stream} noise", draw.epochs, draw.ids) >> np.uint64(33)).astype(
                np.int32
            )
            extra = {
                "noise": torch.from_numpy((config.noise * loud).astype(np.float32)),
                "keys": torch.from_numpy(keys),
            }
        real = np.arange(self.frames(np.array([self.crop]))[0]) < np.maximum(1, self.frames(lengths))[:, None]
        seconds = float(lengths.sum()) / self.rate
        given = [torch.from_numpy(array) for array in (waves, lengths, real)]
        flops = self.flops * len(draw)
        return View(given[0], given[1], given[2], extra, self.rate, seconds, flops)

    def _hiding(self, view: View, draw: Draw, stream: str) -> View:
        """Hides spans of frames, one at least, and a band of features (SpecAugment, Park et al., 2019).

        Where a network can stretch pitch, each view has a voice of its own.
        """
        hidden = spans(draw, f"{stream} hide", view.frames.numpy(), self.config.hidden, 5, least=1)
        begin, width = draw.uniform(f"{stream} bands", 2).T
        width = width * self.config.bands
        begin = begin * (1 - width)
        bands = np.stack([begin, begin + width], axis=1).astype(np.float32)
        shown = view.plus(hidden=torch.from_numpy(hidden), bands=torch.from_numpy(bands))
        if not self.config.pitch:
            return shown
        factors = 1 + self.config.pitch * (2 * draw.uniform(f"{stream} pitch")[:, 0] - 1)
        return shown.plus(pitch=torch.from_numpy(factors.astype(np.float32)))

    @torch.no_grad()
    def pictures(self, trunk: Trunk | MelTrunk, draw: Draw) -> list[Picture]:
        """A map of the features, and nearest neighbours by them, drawn as spectrograms."""
        device = next(trunk.parameters()).device
        chunks = [draw.part(at, at + 64) for at in range(0, min(len(draw), MAPPED), 64)]
        views = [self.view(chunk, "picture") for chunk in chunks]
        there = [moved(view, device) for view in views]
        features = torch.cat([trunk.pool(trunk(view), view).float() for view in there])
        shown = torch.cat([drawn(view) for view in views])
        return [
            Picture(
                "Map", scattered(shown, features), "held-out clips on two principal components of features"
            ),
            Picture(
                "Nearest neighbours",
                neighbours(shown, features.cpu(), 8, SHOWN - 1),
                "left: a held-out clip, then those with the nearest features",
            ),
        ]


def drawn(view: View) -> Tensor:
    """(n, 1, 48, 64) spectrograms of the clips of a view, from 0 to 1."""
    rows = [
        spectrogram.picture(wave[:length].numpy(), view.rate, 48, 64)
        for wave, length in zip(view.waves, view.lengths, strict=True)
    ]
    padded = [np.pad(row[:, :, 0], ((0, 0), (0, 64 - row.shape[1])), constant_values=255) for row in rows]
    return torch.from_numpy(np.stack(padded)).float()[:, None] / 255


def faster(samples: Any, factor: float) -> Any:
    """Played so much faster, by linear interpolation."""
    count = max(1, int(len(samples) / factor))
    places = np.arange(count) * factor
    return np.rint(np.interp(places, np.arange(len(samples)), samples)).astype(np.int16)


def spans(draw: Draw, stream: str, real: Any, share: float, longest: int, least: int = 2) -> Any:
    """(n, frames) bool: random spans of frames that are hidden, of each clip as many as its length asks for.

    As in wav2vec 2.0: spans may overlap, so `share` is an upper bound, rounded at random. No span is longer
    than a third of its clip.

    Args:
        real: (n, frames) bool, real frames first.
        least: spans that a clip has, if its frames are as many.
    """
    count, (rows, width) = real.sum(axis=1), real.shape
    length = np.clip(count // 3, 1, longest)
    places = count - length + 1  # where a span may begin
    chance = draw.uniform(stream, width + 1)
    many = (share * count / length + chance[:, -1]).astype(np.int64)
    many = np.minimum(np.maximum(many, least), places)
    order = np.where(np.arange(width) < places[:, None], chance[:, :-1], 2.0).argsort(axis=1, kind="stable")
    hidden = np.zeros((rows, width + longest), bool)
    for row in range(rows):
        for begin in order[row, : many[row]]:
            hidden[row, begin : begin + length[row]] = True
    return hidden[:, :width] & real


def hiding(view: View, draw: Draw, share: float, longest: int) -> View:
    """The view with spans of hidden frames, which a loss is over; see `spans`."""
    hidden = spans(draw, "hide", view.frames.numpy(), share, longest)
    return replace(view.plus(hidden=torch.from_numpy(hidden)), counted=float(hidden.sum()))


def open_split(config: Pretraining, store: Store, tokens: Manifest, split: str, *older: Manifest) -> Clips:
    """The samples of a split, those of older ones last; raises DataError if there is none."""
    shards = WaveformShards(store, tokens, split, *older)
    if not len(shards):
        fix = "ingest more recordings, or filter fewer of them"
        raise DataError(f"the {split} split has no samples", where=tokens.uri, fix=fix)
    return Clips(config, shards)


def _forward_flops(trunk: Trunk | MelTrunk, samples: int) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    device = next(trunk.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        trunk.eval().encode(*trunk.embed(torch.zeros((1, samples), device=device))[:1], None)
    trunk.train()
    return float(counter.get_total_flops())
