"""Starts: where the model of a branch comes from. One file a start, of one of two sorts.

A start declares

    WEIGHTS                     True: it sets the weights of a branch, which the mode then trains. False: it
                                fits a model of its own to the labels, and no mode has a part in it
    Config                      optional: its settings, under finetuning.start_options.<name>
    absent(origin) -> str       optional: why it cannot be had for this modality or task; '' if it can
    cost(origin) -> float|None  CPU-seconds of pre-training behind it; None where nobody knows. Of a start
                                without weights the study measures what `learner` takes

and, with weights,

    folder(origin) -> Path      config.json, weights and the files of the reader (tokenizer, canvas): of the
                                registered trunk, or of any other model of its modality
    prepare(model, trunk)       sets the weights of a branch whose head is random; `trunk` is what the module
                                `trunk` of the modality loads from the folder

or, without,

    learner(origin) -> Learner  once a study: has read what needs no labels. Pickled to the study's processes.

Every start sees the same labels with the same seeds, and is scored on the same frozen examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store


@dataclass(frozen=True)
class Origin:
    """What a start may be made from.

    Attributes:
        trunk: manifest of the registered trunk; `lineage.ancestors` finds its tokens and its corpus.
        folder: weights of that trunk, and the files of its reader.
        modality, task: plugins by name.
        reading: the modality's `Finetuning`: how branches read.
        options: the start's `Config`, or None if it has none.
    """

    store: Store
    trunk: Manifest
    folder: Path
    modality: str
    task: str
    reading: Any = None
    options: Any = None


class Fitted(Protocol):
    """A model that has learnt from labels.

    Attributes:
        parameters, megabytes: its size, with all that it needs to read an input.
        note: what was chosen on held-out labels, such as 'tfidf, C = 10'.
    """

    parameters: int
    megabytes: float
    note: str

    def outcomes(self, samples: Any) -> dict[str, Any]:
        """The task's outcome columns of examples that its learner has encoded."""

    def answer(self, inputs: Mapping[str, Sequence[Any]]) -> Any:
        """What it says of raw inputs (role -> values), as if it were served."""


class Learner(Protocol):
    """What a start without weights knows before it sees a label."""

    def encode(self, inputs: Mapping[str, Sequence[Any]], labels: Sequence[Any], names: list[str]) -> Any:
        """Samples of role -> values, as the task parses them, with `len` and `subset(places)`."""

    def fit(self, samples: Any, groups: Sequence[str], seed: int) -> Fitted:
        """Learns from samples; chooses what it has to choose on some of them that it holds out, by group."""
