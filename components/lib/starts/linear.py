"""A linear model on features of the modality, fitted by scikit-learn: what needs no pre-training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from components.lib import modalities, tasks
from components.lib.core import plugins
from components.lib.models.linear import TRIED, Features, Ints, Linear, Problem, Tried, Weigh, folds
from components.lib.starts import Origin

WEIGHTS = False
MODALITIES, TASKS = "components.lib.modalities", "components.lib.tasks"


def absent(origin: Origin) -> str:
    """Why there is none: the task or the modality declares nothing for it."""
    declared = plugins.declared(TASKS, origin.task).constants
    unit = declared.get("LINEAR", "")
    if not unit or not declared.get("TRAINS", True):
        return f"a linear model of {origin.task.replace('_', ' ')} is not defined"
    offered = plugins.offers(MODALITIES, origin.modality, "linear")
    if not offered or unit not in modalities.load(origin.modality, "linear").UNITS:
        return f"the modality {origin.modality} has no features of a {unit}"
    return ""


def learner(origin: Origin) -> Learner:
    """Features that are fitted to the trunk's unlabelled data."""
    unit = plugins.declared(TASKS, origin.task).constants["LINEAR"]
    module = modalities.load(origin.modality, "linear")
    return Learner(origin.task, module.features(unit, origin.store, origin.trunk, origin.folder))


@dataclass(frozen=True)
class Table:
    """Labelled examples as rows of numbers.

    Attributes:
        rows: name of the features -> (rows, d).
        ends: (n,) number of rows of the first 1, 2, ... examples.
        targets: (rows,) class indices, or numbers; or (rows, classes) whether each class is there.
        labels: (n,) as the task's `compared` reads them.
        names: the classes; none where labels are numbers.
    """

    rows: dict[str, Any]
    ends: Ints
    targets: Any
    labels: list[Any]
    names: list[str]

    def __len__(self) -> int:
        return len(self.labels)

    def places(self, chosen: Sequence[int] | Ints) -> Ints:
        """The rows of these examples."""
        starts = np.concatenate([[0], self.ends])
        return np.concatenate([np.arange(starts[i], starts[i + 1]) for i in chosen] or [np.arange(0)])

    def subset(self, chosen: Sequence[int] | Ints) -> Table:
        """The examples at these places, in this order."""
        rows = self.places(chosen)
        counts = np.diff(self.ends, prepend=0)[np.asarray(chosen, np.int64)]
        return replace(
            self,
            rows={name: values[rows] for name, values in self.rows.items()},
            ends=np.cumsum(counts),
            targets=self.targets[rows],
            labels=[self.labels[i] for i in chosen],
        )


@dataclass(frozen=True)
class Learner:
    """Features before any label is seen.

    Attributes:
        task: by name.
        features: by name; held-out labels choose among them.
    """

    task: str
    features: dict[str, Features]

    def encode(self, inputs: Mapping[str, Sequence[Any]], labels: Sequence[Any], names: list[str]) -> Table:
        """All features of these examples; a list of targets is one for each row of an example."""
        task, targets, labelled = tasks.load(self.task), labels, labels
        if hasattr(task, "linear_targets"):
            targets, names, labels = task.linear_targets(inputs, labels, names)
        flat = [part for one in targets for part in (one if isinstance(one, list) else [one])]
        index = {name: place for place, name in enumerate(names)}
        values = np.array([index[part] if isinstance(part, str) else part for part in flat])
        ends = np.cumsum([len(one) if isinstance(one, list) else 1 for one in targets])
        given = _given(self.task, inputs, labelled)
        rows = {name: kind.rows(given) for name, kind in self.features.items()}
        return Table(rows, ends, values, list(labels), names)

    def fit(self, samples: Table, groups: Sequence[str], seed: int) -> Fitted:
        """The features and the penalty by which held-out labels are predicted best, fitted to all."""
        parts = folds(groups, seed, len(samples.targets))
        found: list[tuple[float, str, Tried]] = []
        problems: dict[str, tuple[Weigh, Problem]] = {}
        for name, rows in samples.rows.items():
            weigh = self.features[name].weigh(rows)
            problems[name] = weigh, Problem.of(weigh(rows))
            tried = getattr(self.features[name], "tried", TRIED)
            merits = self._merits(problems[name][1], samples, tried, parts)
            found += [(merit, name, one) for merit, one in zip(merits, tried, strict=True)]
        _, name, chosen = max(found, key=lambda one: one[0])
        weigh, problem = problems[name]
        model = problem.solved(samples.targets, len(samples.names), *chosen)
        return Fitted(self.task, samples.names, name, self.features[name], weigh, model, *chosen)

    def _merits(
        self, problem: Problem, samples: Table, tried: Sequence[Tried], parts: list[tuple[Ints, Ints]]
    ) -> list[float]:
        """How well held-out labels are predicted by each try; of one group alone, C = 1 is usual."""
        if not parts:
            return [float(one == (1.0, 0.0)) for one in tried]
        rows = [(samples.places(learned), samples.places(judge)) for learned, judge in parts]
        answers = problem.held_out(samples.targets, len(samples.names), tried, rows)
        judged = samples.subset(np.concatenate([judge for _, judge in parts]))
        return [_merit(self.task, judged, one) for one in answers]


@dataclass(frozen=True)
class Fitted:
    """A linear model of one run."""

    task: str
    names: list[str]
    kind: str
    features: Features
    weigh: Weigh
    model: Linear
    penalty: float
    balance: float

    @property
    def parameters(self) -> int:
        """Weights and offsets."""
        return self.model.weights.size + self.model.offsets.size

    @property
    def megabytes(self) -> float:
        """Of the features and the model, in single precision."""
        return self.features.megabytes + 4 * self.parameters / 1e6

    @property
    def note(self) -> str:
        """What was chosen."""
        balance = f", rare classes weighed by n ** -{self.balance:g}" if self.balance else ""
        return f"{self.kind}, C = {self.penalty:g}{balance}"

    def outcomes(self, samples: Table) -> dict[str, Any]:
        """Of examples that were encoded before."""
        return _compared(self.task, samples, self.model.answers(self.weigh(samples.rows[self.kind])))

    def answer(self, inputs: Mapping[str, Sequence[Any]]) -> Any:
        """Probabilities or numbers, row by row."""
        return self.model.answers(self.weigh(self.features.rows(_given(self.task, inputs, None))))


def _given(
    task: str, inputs: Mapping[str, Sequence[Any]], labels: Sequence[Any] | None
) -> Mapping[str, Sequence[Any]]:
    """What the features are computed of."""
    hook = getattr(tasks.load(task), "linear_inputs", None)
    return inputs if hook is None else hook(inputs, labels)


def _compared(task: str, samples: Table, answers: Any) -> dict[str, Any]:
    """The task's outcome columns of answers to all rows."""
    columns: dict[str, Any] = tasks.load(task).compared(
        samples.labels, np.split(answers, samples.ends[:-1]), samples.names
    )
    return columns


def _merit(task: str, samples: Table, answers: Any) -> float:
    """The primary metric, larger is better; what is not defined is worst."""
    plugin, outcomes = tasks.load(task), _compared(task, samples, answers)
    value = float(plugin.metrics(outcomes, np.ones((1, len(samples))), samples.names)[plugin.PRIMARY][0])
    higher = plugin.METRICS[plugin.PRIMARY]["better"] == "higher"
    return -np.inf if np.isnan(value) else value if higher else -value
