"""Features of images for linear models: principal components of pixels, and a dictionary of patches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA

from components.lib import modalities
from components.lib.data.images import Pixels
from components.lib.engine.randomness import hashed
from components.lib.modalities.image.labelled import Reader
from components.lib.modalities.image.pixels import PixelShards
from components.lib.models.linear import Features, Floats, Weigh, plain, standard
from components.lib.storage import lineage
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

UNITS = ("sample",)
IMAGES = 5000  # of the corpus, chosen by hash, that both are fitted to
COMPONENTS = 100  # principal components
PATCH, WORDS = 6, 400  # side of a patch, and entries of the dictionary
SAMPLED = 40_000  # patches that the dictionary is made of
PLACES = 24  # patches across an image are at least so many, if it is wide enough, and at most twice so many
CHUNK = 256  # images at once


def features(unit: str, store: Store, trunk: Manifest, folder: Path) -> dict[str, Features]:
    """What is known of an image at the trunk's size; reads the trunk's corpus once."""
    tokens = modalities.tokens(lineage.ancestors(store, trunk)["tokenization"], "image")
    shards = PixelShards(store, tokens, "train")
    chosen = np.argsort(hashed(0, "linear", np.arange(len(shards))), kind="stable")[:IMAGES]
    images = shards.gather(np.sort(chosen))
    reader = Reader.open(folder)
    patches = Patches(reader, images)
    return (
        {"PCA": Components(reader, images), "patches": patches} if len(images) > 2 else {"patches": patches}
    )


def _chunks(reader: Reader, inputs: Mapping[str, Sequence[bytes]]) -> Iterator[Pixels]:
    """The images of the one role of a task, some at a time, at the trunk's size."""
    files = next(iter(inputs.values()))
    for start in range(0, max(1, len(files)), CHUNK):
        yield reader.sized(files[start : start + CHUNK])


class Components:
    """Principal components of pixels, not whitened: the first ones carry what a few labels can weigh."""

    def __init__(self, reader: Reader, images: Pixels) -> None:
        self.reader = reader
        flat = self._flat(images)
        self.pca = PCA(min(COMPONENTS, len(flat) - 1, flat.shape[1]), svd_solver="covariance_eigh").fit(flat)
        self.megabytes = self.pca.components_.nbytes / 1e6

    def rows(self, inputs: Mapping[str, Sequence[bytes]]) -> Floats:
        """(n, components)."""
        parts = [self.pca.transform(self._flat(images)) for images in _chunks(self.reader, inputs)]
        return np.concatenate(parts).astype(np.float32)

    def weigh(self, rows: Any) -> Weigh:
        """The rows as they are."""
        return plain(rows)

    def _flat(self, images: Pixels) -> Floats:
        return images.reshape(len(images), int(np.prod(images.shape[1:]))).astype(np.float32) / 255


class Patches:
    """How near the patches of each quadrant are to the entries of a dictionary.

    Coates, Ng and Lee, "An analysis of single-layer networks in unsupervised feature learning", AISTATS 2011:
    contrast normalisation, whitening, k-means, the triangle activation, sums over quadrants.
    """

    def __init__(self, reader: Reader, images: Pixels) -> None:
        self.reader = reader
        height, width = images.shape[1:3]
        self.side = min(PATCH, height, width)
        self.stride = max(1, min(height, width) // PLACES)
        generator = np.random.default_rng(0)
        each = -(-SAMPLED // len(images))
        sampled = []
        for image in images:
            found = self._cut(image)
            sampled.append(found[generator.integers(0, len(found), each)])
        patches = np.concatenate(sampled)
        self.mean = patches.mean(axis=0)
        values, vectors = np.linalg.eigh(np.atleast_2d(np.cov(patches, rowvar=False)))
        self.whitening = ((vectors / np.sqrt(np.maximum(values, 0) + 0.1)) @ vectors.T).astype(np.float32)
        kmeans = MiniBatchKMeans(
            min(WORDS, len(patches)), random_state=0, n_init=1, batch_size=2048, max_iter=20
        )
        self.words = kmeans.fit((patches - self.mean) @ self.whitening).cluster_centers_.astype(np.float32)
        self.megabytes = (self.words.nbytes + self.whitening.nbytes) / 1e6

    def rows(self, inputs: Mapping[str, Sequence[bytes]]) -> Floats:
        """(n, 4 * words)."""
        found = [self._pooled(image) for images in _chunks(self.reader, inputs) for image in images]
        return np.array(found, np.float32).reshape(len(found), 4 * len(self.words))

    def weigh(self, rows: Any) -> Weigh:
        """Standardised."""
        return standard(rows)

    def _windows(self, image: Pixels) -> Any:
        """(h, w, side * side * channels) of all patches."""
        windows = sliding_window_view(image, (self.side, self.side), axis=(0, 1))[
            :: self.stride, :: self.stride
        ]
        return windows.reshape(*windows.shape[:2], -1)

    def _cut(self, image: Pixels) -> Floats:
        """(patches, numbers): with their mean taken off, and divided by their deviation."""
        patches = self._windows(image)
        flat = patches.reshape(-1, patches.shape[2]).astype(np.float32)
        flat -= flat.mean(axis=1, keepdims=True)
        normal: Floats = flat / np.sqrt(np.square(flat).mean(axis=1, keepdims=True) + 10)
        return normal

    def _pooled(self, image: Pixels) -> Floats:
        height, width = self._windows(image).shape[:2]
        patches = (self._cut(image) - self.mean) @ self.whitening
        squares = np.square(patches).sum(axis=1, keepdims=True) + np.square(self.words).sum(axis=1)
        distances = np.sqrt(np.maximum(squares - 2 * patches @ self.words.T, 0))
        near = np.maximum(distances.mean(axis=1, keepdims=True) - distances, 0).reshape(height, width, -1)
        down, across = ((slice(0, -(-n // 2)), slice(-(-n // 2), None)) for n in (height, width))
        return np.concatenate([near[y, x].sum(axis=(0, 1)) for y in down for x in across])
