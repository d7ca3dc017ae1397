"""Retrieval: the caption of an image among all captions, and the image of a caption among all images.

The gallery is that of the test split, frozen; nothing is learnt from it. A branch keeps the pairs that it was
given to answer from: where it is served, it finds captions for images and images for texts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.data.classes import Unlabelled
from components.lib.data.images import png
from components.lib.engine.trainable import Loss, Supervised
from components.lib.engine.transfer import moved
from components.lib.modalities.pairs import network
from components.lib.modalities.pairs.captions import captions
from components.lib.modalities.pairs.examples import Gallery, Matched, gallery
from components.lib.models import loading
from components.lib.models.branch import Branch
from components.lib.tasks import Reading

NEEDS = ("pairs",)
OFFERS = ()
TRAINS = False
ROLES = {"image": "image", "text": "text"}
SERVED = ("image", "text")
DEPTHS = (1, 5, 10)
METRICS = {
    "recall_at_1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "R@1, both ways"},
    "text_recall_at_1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "R@1 of captions"},
    "text_recall_at_5": {"better": "higher", "low": 0.0, "high": 1.0, "title": "R@5 of captions"},
    "text_recall_at_10": {"better": "higher", "low": 0.0, "high": 1.0, "title": "R@10 of captions"},
    "text_median_rank": {"better": "lower", "low": 1.0, "high": None, "title": "median rank of captions"},
    "image_recall_at_1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "R@1 of images"},
    "image_recall_at_5": {"better": "higher", "low": 0.0, "high": 1.0, "title": "R@5 of images"},
    "image_recall_at_10": {"better": "higher", "low": 0.0, "high": 1.0, "title": "R@10 of images"},
    "image_median_rank": {"better": "lower", "low": 1.0, "high": None, "title": "median rank of images"},
    "alignment": {"better": "higher", "low": -1.0, "high": 1.0, "title": "cosine of pairs"},
}
PRIMARY = "recall_at_1"
FEWEST = 0
USE = "visual-document-retrieval"
OUTPUTS = (("caption", "string"), ("score", "double"), ("picture", "string"), ("best", "string"))
KEPT = {  # of a gallery: buffer -> type
    "images": torch.float32,
    "texts": torch.float32,
    "owners": torch.int64,
    "pictures": torch.uint8,
    "words": torch.uint8,
}
LISTED = 5  # of the gallery, best first, in an answer

Array = np.ndarray[Any, np.dtype[Any]]


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, bytes], list[str]]:
    """An image and its captions, checked; raises DataError with the reason."""
    found = captions(values["text"], normal=True)
    if not found:
        raise Unlabelled("there is no caption", found=repr(values["text"])[:80])
    return {"image": values["image"]}, found


def classes(labels: Any) -> list[str]:
    """There are none."""
    return []


def with_unknown(names: list[str], labels: Any) -> list[str]:
    """There are none."""
    return names


def encode(reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Any, names: list[str]) -> Gallery:
    """A gallery of all these images and captions, which asks about each of them."""
    return gallery(reader, inputs["image"], labels)


class Retriever(Branch):
    """A dual encoder and a gallery: vectors of images and texts, small pictures, and the texts as JSON."""

    def __init__(self, config: Any, shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        super().__init__(config)
        width, given = config.projection, shapes or {}
        usual = {"images": (0, width), "texts": (0, width), "owners": (0,), "pictures": (0, 1, 1, 1)}
        for name, kind in KEPT.items():
            shape = given.get(name, usual.get(name, (0,)))
            self.register_buffer(name, torch.zeros(shape, dtype=kind))

    @classmethod
    def fitting(cls, config: Any, weights: Mapping[str, Tensor]) -> Self:
        """One whose gallery is as large."""
        return cls(config, {name: tuple(weights[name].shape) for name in KEPT})

    def keep(self, **found: Tensor) -> None:
        """Takes these as its gallery."""
        for name, value in found.items():
            setattr(self, name, value.to(self.get_buffer(name).device))

    def captions(self) -> list[str]:
        """Of the gallery."""
        kept: Any = self.words
        return list(json.loads(bytes(kept.cpu().tolist()) or b"[]"))


def model(config: Any, names: list[str]) -> nn.Module:
    """A dual encoder of the trunk's architecture, with random weights and an empty gallery."""
    network.register()
    return Retriever(type(config).from_dict(config.to_dict()))


def load(folder: Path) -> Any:
    """The branch in a folder."""
    network.register()
    return loading.model(Retriever, folder).eval()


def remember(model: Any, samples: Gallery) -> None:
    """Makes these pairs the gallery from which the branch answers."""
    model.eval()
    images, texts = samples.vectors(model.trunk)
    owners = np.zeros(len(samples.texts), np.int64)
    for image, own in reversed(list(enumerate(samples.owned))):
        owners[own] = image
    words = np.frombuffer(json.dumps(samples.texts, ensure_ascii=False).encode(), np.uint8)
    kept = {"owners": owners, "pictures": samples.images.pixels, "words": words}
    model.keep(images=images, texts=texts, **{name: torch.tensor(value) for name, value in kept.items()})


class Objective(Supervised):
    """Cross-entropy of finding the captions of a batch, and its images: what a pass computes."""

    def forward(self, batch: Matched) -> Loss:
        """The loss, summed over pairs."""
        trunk = self.model.trunk
        images = trunk.images(pixel_values=batch.images.normal())
        texts = trunk.texts(input_ids=batch.ids, attention_mask=batch.mask)
        logits = trunk.scale.exp() * images.float() @ texts.float().T
        own = torch.eye(len(batch), dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(batch.own & ~own, float("-inf"))
        right = torch.arange(len(batch), device=logits.device)
        losses = [nn.functional.cross_entropy(one, right, reduction="sum") for one in (logits, logits.T)]
        return Loss(torch.stack(losses).mean(), batch.weight, {"accuracy": (logits.argmax(1) == right).sum()})


@torch.no_grad()
def outcomes(model: Any, samples: Gallery, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per image: the rank of its best caption, that of it for its first caption, and how alike they are.

    A rank counts what is at least as similar and wrong, from 1 on: a model that tells nothing apart is last.
    """
    model.eval()
    images, texts = (one.double().cpu().numpy() for one in samples.vectors(model.trunk))
    owns = np.zeros((len(images), len(texts)), bool)
    for image, own in enumerate(samples.owned):
        owns[image, own] = True
    rows = []
    for image in samples.chosen.tolist():
        first = samples.owned[image][0]
        both = _rank(texts @ images[image], owns[image]), _rank(images @ texts[first], owns[:, first])
        rows.append((*both, float(images[image] @ texts[first])))
    found = np.array(rows, np.float64).reshape(-1, 3).T
    columns = zip(("text_rank", "image_rank"), found[:2].astype(np.int64), strict=True)
    return {**dict(columns), "similarity": found[2]}


def _rank(similar: Array, right: Array) -> int:
    return 1 + int((similar[~right] >= similar[right].max() - 1e-9).sum())


def metrics(outcomes: dict[str, Array], weights: Array, classes: list[str]) -> dict[str, Array]:
    """Recall at 1, 5 and 10 and the median rank, both ways, for each of r weightings of n examples."""
    weights = weights.astype(np.float64, copy=False)
    sums = weights.sum(axis=1)
    found: dict[str, Array] = {}
    for way in ("text", "image"):
        ranks = outcomes[f"{way}_rank"]
        for depth in DEPTHS:
            found[f"{way}_recall_at_{depth}"] = weights @ (ranks <= depth).astype(np.float64) / sums
        found[f"{way}_median_rank"] = _median(ranks, weights)
    found["recall_at_1"] = (found["text_recall_at_1"] + found["image_recall_at_1"]) / 2
    found["alignment"] = weights @ outcomes["similarity"] / sums
    return found


def _median(values: Array, weights: Array) -> Array:
    """(r,) of values that stand as often as their weights say."""
    order = np.argsort(values, kind="stable")
    reached, ranked = np.cumsum(weights[:, order], axis=1), values[order].astype(np.float64)
    middle = (reached[:, -1:] - 1) / 2
    ends = [
        ranked[(reached <= one(middle)).sum(axis=1).clip(max=len(ranked) - 1)] for one in (np.floor, np.ceil)
    ]
    return (ends[0] + ends[1]) / 2


@torch.no_grad()
def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The nearest pair of the gallery: by its caption for an image, by its image for a text."""
    model.eval()
    there = moved(reader.tensors(inputs), next(model.parameters()).device)
    queries = model.trunk(**there).last_hidden_state
    texts, pictures = model.captions(), inputs.get("image") or [None] * len(queries)
    return [
        _answer(model, texts, query, is_image=picture is not None)
        for query, picture in zip(queries, pictures, strict=True)
    ]


def _answer(model: Any, texts: list[str], query: Tensor, *, is_image: bool) -> dict[str, Any]:
    if not texts:
        return {"caption": "", "score": 0.0, "picture": "", "best": "[]"}
    similar = (model.texts if is_image else model.images) @ query
    scores, places = similar.topk(min(LISTED, len(similar)))
    first = {owner: place for place, owner in reversed(list(enumerate(model.owners.tolist())))}
    captions = [texts[place if is_image else first[place]] for place in places.tolist()]
    image = int(model.owners[places[0]]) if is_image else int(places[0])
    best = [[caption, round(score, 4)] for caption, score in zip(captions, scores.tolist(), strict=True)]
    picture = base64.b64encode(png(model.pictures[image].cpu().numpy())).decode()
    return {
        "caption": captions[0],
        "score": float(scores[0]),
        "picture": picture,
        "best": json.dumps(best, ensure_ascii=False),
    }


def pictures(
    model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Sequence[Sequence[str]]
) -> tuple[str, list[tuple[bytes, str]]]:
    """Images with their first caption, and the captions that are found for them."""
    answers = answer(model, reader, {"image": inputs["image"]})
    shown = [png(pixels) for pixels in reader.images.sized(inputs["image"])]
    found = [
        ", ".join(f"{caption} ({score:.2f})" for caption, score in json.loads(one["best"])[:3])
        for one in answers
    ]
    words = [f"{own[0]} \u2013 found: {best or 'nothing'}" for own, best in zip(labels, found, strict=True)]
    note = (
        "Under each image its own caption, then those of the branch's gallery that are nearest, with cosines."
    )
    return note, list(zip(shown, words, strict=True))
