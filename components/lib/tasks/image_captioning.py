"""Captions of images: a small decoder reads the places of the image tower and writes word after word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.data.images import png
from components.lib.engine.randomness import Draw, Ints
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.image.examples import Framed, ImageSet
from components.lib.modalities.pairs import network
from components.lib.modalities.pairs.cider import Cider
from components.lib.models import loading
from components.lib.models.branch import Branch
from components.lib.models.branch import width as width_of
from components.lib.models.inference import batches
from components.lib.tasks import retrieval

NEEDS = ("pairs",)
OFFERS = ()
ROLES = {"image": "image", "text": "text"}
METRICS = {
    "cider_d": {"better": "higher", "low": 0.0, "high": 10.0, "title": "CIDEr-D"},
    "exact_match": {"better": "higher", "low": 0.0, "high": 1.0, "title": "exact match"},
}
PRIMARY = "cider_d"
FEWEST = 0
USE = "image-to-text"
OUTPUTS = (("caption", "string"), ("score", "double"))
LAYERS, WIDTH, HEADS = 2, 128, 4
LONGEST = 64  # tokens of a caption
IGNORED = -100

Array = np.ndarray[Any, np.dtype[Any]]
parse = retrieval.parse
classes = retrieval.classes
with_unknown = retrieval.with_unknown


@dataclass(frozen=True)
class Batch:
    """Images, (n, L) tokens before each one that is to be written, and those themselves."""

    images: Framed
    ids: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.images)

    @property
    def weight(self) -> float:
        """Tokens that are written."""
        return float((self.targets != IGNORED).sum())

    @property
    def real(self) -> int:
        """Tokens."""
        return int((self.targets != IGNORED).sum())

    @property
    def slots(self) -> int:
        """Tokens, padding included."""
        return self.targets.numel()


@dataclass(frozen=True)
class Captions:
    """Images with their captions, of which a frozen set of references is known.

    Attributes:
        tokens: of each image those of each caption, without a frame.
        numbers: (n,) places of the images among the references.
        judge, tokenizer: what scores captions, and what spells them.
    """

    images: ImageSet
    tokens: list[list[list[int]]]
    numbers: Ints
    judge: Cider
    tokenizer: Any

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, chosen: Sequence[int] | Ints) -> Captions:
        """The images at these places, in this order."""
        places = np.asarray(chosen, np.int64)
        tokens = [self.tokens[place] for place in places.tolist()]
        return replace(self, images=self.images.subset(places), tokens=tokens, numbers=self.numbers[places])

    def batches(self, size: int) -> list[Ints]:
        """All places in batches."""
        return self.images.batches(size)

    def batch(self, places: Sequence[int] | Ints, turns: Sequence[float] = ()) -> Batch:
        """These images, each with its first caption, or with one that a number in [0, 1) chooses."""
        own = [self.tokens[place] for place in np.asarray(places).tolist()]
        some = [one[int(turn * len(one))] for one, turn in zip(own, turns or [0.0] * len(own), strict=True)]
        longest = max(map(len, some)) + 1
        bos, eos = (getattr(self.tokenizer, f"{name}_token_id") for name in ("bos", "eos"))
        ids = np.full((len(some), longest), eos, np.int64)
        targets = np.full((len(some), longest), IGNORED, np.int64)
        for row, tokens in enumerate(some):
            ids[row, : len(tokens) + 1] = [bos, *tokens]
            targets[row, : len(tokens) + 1] = [*tokens, eos]
        return Batch(self.images.batch(places), torch.from_numpy(ids), torch.from_numpy(targets))

    def spelled(self, tokens: Sequence[int]) -> str:
        """The text of tokens."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))


def encode(reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Any, names: list[str]) -> Captions:
    """Images at the trunk's size, and the tokens of their captions."""
    files, flat = inputs["image"], [text for some in labels for text in some]
    cut = reader.texts.encode(flat, add_special_tokens=False)[0]["input_ids"] if flat else []
    ids = iter([tokens[: LONGEST - 1] for tokens in cut])
    tokens = [[next(ids) for _ in some] for some in labels]
    images = ImageSet(reader.images.sized(files), np.zeros(len(files), np.int64), reader.images.canvas)
    tokenizer = reader.texts.tokenizer
    spelled = [[tokenizer.decode(one, skip_special_tokens=True) for one in some] for some in tokens]
    return Captions(images, tokens, np.arange(len(files)), Cider(spelled), tokenizer)


class Captioner(Branch):
    """The image tower of a dual encoder, and a decoder that attends to its places."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        text = config.tower("text")
        self.bos, self.eos = int(text.bos_token_id), int(text.eos_token_id)
        self.words = nn.Embedding(text.vocab_size, WIDTH)
        self.positions = nn.Parameter(torch.randn(LONGEST, WIDTH) * 0.02)
        self.bridge = nn.Linear(width_of(config.tower("image")), WIDTH)
        options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
        layer = nn.TransformerDecoderLayer(WIDTH, HEADS, 4 * WIDTH, **options)  # type: ignore[arg-type]
        self.decoder = nn.TransformerDecoder(layer, LAYERS, nn.LayerNorm(WIDTH))
        nn.init.normal_(self.words.weight, std=0.02)

    def places(self, pixels: Tensor) -> Tensor:
        """(n, places, WIDTH) of images."""
        hidden: Tensor = self.trunk.image(pixel_values=pixels).last_hidden_state.float()
        hidden = hidden.flatten(2).transpose(1, 2) if hidden.ndim == 4 else hidden
        seen: Tensor = self.bridge(hidden if hidden.ndim == 3 else hidden[:, None])
        return seen

    def forward(self, places: Tensor, ids: Tensor) -> Tensor:
        """(n, L, vocabulary) logits of what follows each token."""
        size = ids.shape[1]
        mask = torch.ones(size, size, dtype=torch.bool, device=ids.device).triu(1)
        hidden = self.decoder(self.words(ids) + self.positions[:size], places, tgt_mask=mask)
        logits: Tensor = hidden @ self.words.weight.T
        return logits

    def written(self, pixels: Tensor, most: int) -> tuple[list[list[int]], list[float]]:
        """Tokens of the greedy caption of each image, and the mean probability of them."""
        places = self.places(pixels)
        ids = torch.full((len(pixels), 1), self.bos, device=pixels.device)
        chances = [torch.zeros(len(pixels), 0, device=pixels.device)]
        ended = torch.zeros(len(pixels), dtype=torch.bool, device=pixels.device)
        while ids.shape[1] <= most and not bool(ended.all()):
            best = self(places, ids)[:, -1].float().softmax(-1).max(-1)
            ids = torch.cat([ids, best.indices.masked_fill(ended, self.eos)[:, None]], dim=1)
            chances.append(best.values.masked_fill(ended, float("nan"))[:, None])
            ended |= best.indices == self.eos
        rows = [row[: row.index(self.eos)] if self.eos in row else row for row in ids[:, 1:].tolist()]
        return rows, torch.cat(chances, dim=1).nanmean(dim=1).tolist()


def model(config: Any, names: list[str]) -> nn.Module:
    """The trunk's image tower with random weights, and a decoder."""
    network.register()
    config = type(config).from_dict(config.to_dict())
    config.towers = ["image"]
    return Captioner(config)


def load(folder: Path) -> Any:
    """The branch in a folder."""
    network.register()
    return loading.model(Captioner, folder).eval()


class Objective(Supervised):
    """Cross-entropy on the next token of captions."""

    def prepare(self, samples: Captions, draw: Draw) -> Batch:
        """Images, each with one of its captions, another in every epoch."""
        return samples.batch(draw.ids, draw.uniform("caption")[:, 0].tolist())

    def forward(self, batch: Batch) -> Loss:
        """The loss, summed over tokens."""
        logits = self.model(self.model.places(batch.images.normal()), batch.ids).float().flatten(0, 1)
        targets = batch.targets.flatten()
        total = nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
        return Loss(total, batch.weight, {"accuracy": (logits.argmax(-1) == targets).sum()})


@torch.no_grad()
def outcomes(model: Any, samples: Captions, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per image: CIDEr-D of its greedy caption, and whether that is one of its captions."""
    most = min(LONGEST - 1, 2 * max((len(one) for some in samples.tokens for one in some), default=0) + 1)
    written: dict[int, list[int]] = {}
    for places, batch in batches(model, samples, size):
        found, _ = model.written(batch.images.normal(), most)
        written |= zip(places.tolist(), found, strict=True)
    captions = [samples.spelled(written[place]) for place in range(len(samples))]
    scores = samples.judge.scores(captions, samples.numbers.tolist())
    exact = [written[place] in samples.tokens[place] for place in range(len(samples))]
    return {"cider_d": scores, "exact": np.array(exact, np.int64)}


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Means under each of r weightings of n examples."""
    weights = weights.astype(np.float64, copy=False)
    sums = weights.sum(axis=1)
    columns = {"cider_d": outcomes["cider_d"], "exact_match": outcomes["exact"].astype(np.float64)}
    return {name: weights @ column / sums for name, column in columns.items()}


@torch.no_grad()
def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """The greedy caption of each image, and the mean probability of its tokens."""
    model.eval()
    there = next(model.parameters()).device
    pixels = reader.images.tensors(inputs["image"])["pixel_values"].to(there)
    tokenizer = reader.texts.tokenizer
    pairs = zip(*model.written(pixels, LONGEST - 1), strict=True)
    return [
        {"caption": str(tokenizer.decode(tokens, skip_special_tokens=True)), "score": float(chance)}
        for tokens, chance in pairs
    ]


def pictures(
    model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Sequence[Sequence[str]]
) -> tuple[str, list[tuple[bytes, str]]]:
    """Images with their own caption and the one that is written."""
    written = [one["caption"] for one in answer(model, reader, inputs)]
    shown = [png(pixels) for pixels in reader.images.sized(inputs["image"])]
    words = [
        f"{own[0]} \u2013 written: {found or 'nothing'}" for own, found in zip(labels, written, strict=True)
    ]
    return "Under each image its own caption, then the one that is written.", list(
        zip(shown, words, strict=True)
    )
