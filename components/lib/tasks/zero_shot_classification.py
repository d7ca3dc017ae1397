"""Zero-shot classification: the class whose prompts are nearest to an image; nothing is learnt from labels.

Radford et al., ICML 2021: a class is the mean of the unit vectors of its prompts, which the settings word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.data.classes import named
from components.lib.engine.trainable import Loss, Supervised
from components.lib.modalities.image.examples import ImageSet
from components.lib.modalities.pairs import network
from components.lib.modalities.pairs.examples import Prompted, PromptedSet, embedded
from components.lib.modalities.text.examples import Examples
from components.lib.models import classifiers, loading
from components.lib.models.branch import Branch
from components.lib.models.inference import batches
from components.lib.tasks import Reading
from components.lib.tasks import sequence_classification as one_class

NEEDS = ("pairs",)
OFFERS = ()
TRAINS = False
ROLES = {"image": "image", "label": "label"}
METRICS = {
    "accuracy": {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy"},
    "macro_f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "macro F1"},
    "calibration_error": {"better": "lower", "low": 0.0, "high": 1.0, "title": "calibration error (ECE)"},
}
PRIMARY = "accuracy"
FEWEST = 2
USE = "zero-shot-image-classification"
OUTPUTS = (("label", "string"), ("score", "double"))

Array = np.ndarray[Any, np.dtype[Any]]
classes = one_class.classes
metrics = one_class.metrics
with_unknown = classifiers.with_unknown


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, bytes], str]:
    """An image and its class, checked; raises DataError with the reason."""
    return {"image": values["image"]}, named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Any, names: list[str]) -> PromptedSet:
    """Images at the trunk's size, class indices, and the prompts of all classes."""
    targets = np.array(classifiers.places(labels, names), np.int64)
    images = ImageSet(reader.images.sized(inputs["image"]), targets, reader.images.canvas)
    ids = reader.encoded(reader.prompted(names))
    prompts = Examples(ids, [0] * len(ids), reader.texts.tokenizer.pad_token_id)
    return PromptedSet(images, prompts, len(reader.prompts))


class ZeroShot(Branch):
    """A dual encoder that compares images with prompts of classes."""

    def prototypes(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(prompts, width) unit vectors."""
        vectors: Tensor = self.trunk.texts(input_ids=ids, attention_mask=mask)
        return vectors

    def forward(self, pixel_values: Tensor, prompts: Tensor, each: int) -> SimpleNamespace:
        """`logits` (n, classes): cosines with the classes by the temperature of pre-training."""
        means = nn.functional.normalize(prompts.reshape(-1, each, prompts.shape[1]).mean(dim=1), dim=1)
        images = self.trunk.images(pixel_values=pixel_values)
        return SimpleNamespace(logits=self.trunk.scale.exp() * images @ means.T)


def model(config: Any, names: list[str]) -> nn.Module:
    """A dual encoder of the trunk's architecture, with random weights, and the names of the classes."""
    network.register()
    config = type(config).from_dict(config.to_dict())
    config.id2label, config.label2id = dict(enumerate(names)), {n: i for i, n in enumerate(names)}
    return ZeroShot(config)


def load(folder: Path) -> Any:
    """The branch in a folder."""
    network.register()
    return loading.model(ZeroShot, folder).eval()


class Objective(Supervised):
    """Cross-entropy on the class of each image, by the prompts of all: what a pass computes."""

    each = 1  # prompts of a class

    def prepare(self, samples: PromptedSet, draw: Any) -> Any:
        """The batch of a draw."""
        self.each = samples.each
        return super().prepare(samples, draw)

    def forward(self, batch: Prompted) -> Loss:
        """The loss, summed over images."""
        prompts = self.model.prototypes(batch.ids, batch.mask)
        logits = self.model(batch.images.normal(), prompts, self.each).logits.float()
        return one_class.cross_entropy(logits, batch.images.targets, batch.weight)


@torch.no_grad()
def outcomes(model: Any, samples: PromptedSet, names: list[str], size: int = 64) -> dict[str, Array]:
    """Per image: label, prediction (class indices) and confidence (largest probability)."""
    model.eval()
    prompts = torch.cat([model.prototypes(b.ids, b.mask) for b in embedded(model, samples.prompts)])
    given = {"prompts": prompts, "each": samples.each}
    inputs = (
        (places, {"pixel_values": batch.normal(), **given})
        for places, batch in batches(model, samples.images, size)
    )
    return one_class.decided(one_class.passed(model, inputs, len(samples.images)), samples.images)


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """The class of each image, and how sure that is."""
    names = classifiers.names(model)
    samples = encode(reader, inputs, [names[0]] * len(inputs["image"]), names)
    return one_class.answers(outcomes(model, samples, names), names)
