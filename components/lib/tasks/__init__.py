"""Tasks: what a branch learns from labels. One file a task.

A task declares, as literals,

    NEEDS       capabilities of the trunk's modality and architecture
    OFFERS      what modes may need: "linear_probe", "vote"
    ROLES       role -> default column of its labelled fields; the last is the target, the others are inputs
    METRICS     metric -> {"better": "higher" or "lower", "low", "high": its range or None, "title"}
    PRIMARY     the metric that decides
    FEWEST      least number of classes that make sense
    USE         its name on the Hugging Face hub
    OUTPUTS     (name, MLflow type) of what it answers
    SERVED      optional: roles that a client may send, each or some of them, where they are not the inputs

and the functions

    parse(values, reading) -> inputs, label     role -> value as the reader returns it; raises DataError, and
                                            Unlabelled (data/classes) where there is no label
    classes(labels) -> names                the vocabulary of the targets; [] for a number
    with_unknown(names, labels) -> names    with those that only the labels know
    encode(reader, inputs, labels, names) -> samples    of role -> values: len, subset, batches, batch
    model(config, names) -> branch          on a trunk's config, with random weights
    load(folder) -> branch
    Objective(branch)                       nn.Module: PARTS, prepare(samples, draw), forward(batch) -> Loss
    outcomes(branch, samples, names) -> columns     per example, on the host
    metrics(outcomes, weights, names) -> metric -> (r,)     under r weightings (r, n) of the examples
    answer(branch, reader, inputs) -> rows  what is served
    remember(branch, samples)               optional: keeps in the branch what it answers from: the examples
                                            that it learnt from, or those of the test split if there are none

    logits(branch, samples, size) -> (n, classes)       optional, of a task with one class an example:
    decided(logits, samples, temperature=1.0) -> columns    its outcomes, whose `confidence` is calibrated

and may declare CORPUS, the roles whose values could stand in a corpus, if none is named as its field is,
`Config`, settings of how its labels are read (it needs no import but `setting`),
OPEN = True where labels of the test may hold classes that are never trained on, which `encode` then takes,
`Probe` and `features(probe, samples)` where it offers a linear probe,
LINEAR ("sample", "word", ...: what the start `linear` answers for) with `compared(labels, answers, names) ->
columns`, the outcomes of its answers: for each example an array of class probabilities, or of a number,
`begin(branch, samples)`, what a branch takes from its labels before it learns, such as their scale,
`linear_inputs(inputs, labels) -> inputs`, what those features are computed of where that is not what `parse`
returns (without labels where a served model is timed),
`linear_targets(inputs, labels, names) -> targets, names, labels`, a target or a list of them for each
example, where they are not the labels (with the names, and the labels that `compared` then gets),
`pictures(branch, reader, inputs, labels)`, what it draws of examples for a report,
`shown` with the same arguments, what a report has of them in a table: (note, headers, rows); if it takes
`corpus`, it gets batches of the texts of pre-training,
`constant(outcomes, names)`, the best answer that is the same for all examples, in words, and its outcomes,
PARAMS, name -> (usual, least, most) of what a client of a served branch may set: keywords of `answer`,
and TRAINS = False where nothing is learnt from labels (zero-shot).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.lib.core import plugins

LENGTH = "length"  # the slice of the test examples that is how long their inputs are

# What programs write in place of a class where there is none.
MISSING = ("None", "nan", "NaN", "NaT", "<NA>", "#N/A", "N/A", "n/a", "NULL", "null")


@dataclass
class Reading:
    """How labels are read, and what is told of them.

    Attributes:
        missing: words that say that there is no label.
        options: the task's `Config`.
        raw: role -> value as the record has it, of the inputs of the record at hand: labels may count in it.
        notices: what is told -> of how many records.
    """

    missing: Collection[str] = MISSING
    options: Any = None
    raw: dict[str, Any] = field(default_factory=dict)
    notices: Counter[str] = field(default_factory=Counter)

    def tell(self, what: str) -> None:
        """Of one more record."""
        self.notices[what] += 1


def load(name: str) -> Any:
    """A task; raises ConfigError that lists those that exist."""
    return plugins.load(__name__, name)


def inputs_of(roles: Mapping[str, str]) -> list[str]:
    """The roles of a task that are inputs: all but the last."""
    return list(roles)[:-1]


def served(kind: str) -> list[str]:
    """The roles of a task that a client sends, all of them; none of a task that has SERVED."""
    says = plugins.declared(__name__, kind).constants
    return [] if "SERVED" in says else inputs_of(says["ROLES"])


def target_of(roles: Mapping[str, str]) -> str:
    """The role of a task that is learnt: the last."""
    return list(roles)[-1]
