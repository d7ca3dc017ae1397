"""A branch that is scored on the frozen examples: the challenger, or the champion."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from components.evaluation.outcomes import Columns
from components.lib import compressions, modalities, tasks
from components.lib.models import calibration
from components.lib.models.inference import device


@dataclass(frozen=True)
class System:
    """Model and reader, on the device.

    Attributes:
        names: classes that its outcomes index, those that only the labels know last; none for a number.
    """

    task: ModuleType
    model: Any
    reader: Any
    names: list[str]

    @classmethod
    def load(cls, folder: Path, facts: Mapping[str, Any], labels: list[Any]) -> Self:
        """From the folder of a model; one that was trained on fewer classes is wrong about the others.

        Args:
            folder: weights and the files of the reader.
            facts: of the branch: `kind`, `modality` and `classes`.
            labels: of the examples.
        """
        task = tasks.load(facts["kind"])
        names = task.with_unknown(_classes(folder), labels) if facts["classes"] else []
        reader = modalities.load(facts["modality"], "labelled").Reader.open(folder)
        return cls(task, compressions.load(task, folder).to(device()), reader, names)

    def score(self, inputs: Mapping[str, list[Any]], labels: list[Any], size: int = 64) -> Columns:
        """The outcome columns, one row an example; `size` examples are computed at once.

        Where a task has probabilities, `uncalibrated` is the confidence at a temperature of 1.
        """
        samples = self.task.encode(self.reader, inputs, labels, self.names)
        columns: Columns
        if not hasattr(self.task, "decided"):
            columns = self.task.outcomes(self.model, samples, self.names, size)
            return columns
        logits = self.task.logits(self.model, samples, size)
        columns = self.task.decided(logits, samples, calibration.temperature(self.model))
        return {**columns, "uncalibrated": self.task.decided(logits, samples)["confidence"]}


def _classes(folder: Path) -> list[str]:
    table = json.loads((folder / "config.json").read_text(encoding="utf-8"))["id2label"]
    return [table[str(number)] for number in range(len(table))]
