"""One class for a whole clip: a word, a speaker, a kind of sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from components.lib.data.classes import named
from components.lib.modalities.audio.examples import ClipSet
from components.lib.models import classifiers, one_class
from components.lib.models.probe import LinearProbe
from components.lib.tasks import Reading

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

Objective, Probe = one_class.Objective, LinearProbe
classes, with_unknown = one_class.classes, classifiers.with_unknown
compared, features = one_class.compared, one_class.features
metrics, outcomes = one_class.metrics, one_class.outcomes


def parse(values: Mapping[str, Any], reading: Reading) -> tuple[dict[str, bytes], str]:
    """A recording and its class, checked; raises DataError with the reason."""
    return {"audio": values["audio"]}, named(values["label"], reading.missing)


def encode(reader: Any, inputs: Mapping[str, Sequence[bytes]], labels: Any, names: list[str]) -> ClipSet:
    """Waveforms at the trunk's rate, and class indices."""
    index = {name: number for number, name in enumerate(names)}
    targets = [index[label] for label in labels]
    return reader.clips(inputs["audio"], targets)


def model(config: Any, names: list[str]) -> nn.Module:
    """`AutoModelForAudioClassification` of the trunk's architecture, with random weights."""
    return classifiers.build(_auto(), config, names)


def load(folder: Path) -> Any:
    """The branch in a folder."""
    return classifiers.load(_auto(), folder)


def _auto() -> Any:
    from transformers import AutoModelForAudioClassification

    return AutoModelForAudioClassification


def answer(model: Any, reader: Any, inputs: Mapping[str, Sequence[bytes]]) -> list[dict[str, Any]]:
    """The class of each clip, and how sure that is."""
    names, files = classifiers.names(model), inputs["audio"]
    return one_class.answered(model, encode(reader, inputs, [names[0]] * len(files), names))
