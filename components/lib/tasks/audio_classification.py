"""One class for a whole clip: a word, a speaker, a kind of sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, nn
from transformers import AutoModelForAudioClassification

from components.lib.data.classes import named
from components.lib.modalities.audio.examples import ClipSet
from components.lib.models import classifiers
from components.lib.models.probe import LinearProbe
from components.lib.tasks import Reading
from components.lib.tasks import sequence_classification as one_class

NEEDS = ("audio",)
OFFERS = ("linear_probe", "vote")
LINEAR = "sample"
ROLES = {"audio": "audio", "label": "label"}
METRICS = {
    "accuracy": {"better": "higher", "low": 0.0, "high": 1.0, "title": "accuracy"},
    "macro_f1": {"better": "higher", "low": 0.0, "high": 1.0, "title": "macro F1"},
    "calibration_error": {"better": "lower", "low": 0.0, "high": 1.0, "title": "calibration error (ECE)"},
}
PRIMARY = "accuracy"
FEWEST = 2
USE = "audio-classification"
OUTPUTS = (("label", "string"), ("score", "double"))

Array = np.ndarray[Any, np.dtype[Any]]
Probe = LinearProbe
load = partial(classifiers.load, AutoModelForAudioClassification)
Objective, with_unknown = one_class.Objective, classifiers.with_unknown
decided = one_class.decided
classes, compared, metrics = one_class.classes, one_class.compared, one_class.metrics


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, bytes], str]:
    """A recording and its class, checked; raises DataError with the reason."""
    return {"audio": values["audio"]}, named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Any, names: list[str]) -> ClipSet:
    """Waveforms at the trunk's rate, and class indices."""
    return reader.clips(inputs["audio"], classifiers.places(labels, names))


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForAudioClassification` of the trunk's architecture, with random weights."""
    return classifiers.build(AutoModelForAudioClassification, config, names)


def logits(model: nn.Module, samples: ClipSet, size: int = 32) -> Array:
    """(n, classes)."""
    return one_class.logits(model, samples, size)


def outcomes(model: nn.Module, samples: ClipSet, names: list[str], size: int = 32) -> dict[str, Array]:
    """Per clip: label, prediction (class indices) and confidence (largest probability)."""
    return one_class.outcomes(model, samples, names, size)


def features(probe: LinearProbe, samples: ClipSet) -> tuple[Tensor, Tensor]:
    """(n, width) and the classes (n,), in an order of their own."""
    return one_class.features(probe, samples, 32)


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """The class of each clip, and how sure that is."""
    names = classifiers.names(model)
    samples = encode(reader, inputs, [names[0]] * len(inputs["audio"]), names)
    return one_class.answers(outcomes(model, samples, names), names)
