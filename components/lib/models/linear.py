"""Linear models on fixed features: L2 logistic regression and ridge, the penalty chosen on held-out labels.

With fewer rows than features the optimum lies in the span of the rows (the representer theorem: Kimeldorf and
Wahba, 1971), so it is found there, exactly, in as many coordinates as there are rows: their Gram matrix is
decomposed once, and serves all folds and penalties.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FOLDS = 5  # each of which judges once
ENOUGH = 1000, 5000  # samples, and rows, from which on one fold judges well enough
SPAN = 2000  # rows up to which their Gram matrix is decomposed
COLUMNS = 50_000  # features that a larger sparse problem keeps: those that most rows have
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)  # scikit-learn's C, of rows whose mean squared length is 1
TRIED = tuple((penalty, 0.0) for penalty in PENALTIES)  # C, and how far rare classes weigh more
RANK = 1e-10  # of the largest eigenvalue, below which a direction is none
ABSENT = -1e4  # logit of a class without a label

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
Weigh = Callable[[Any], Any]
Tried = tuple[float, float]


class Features(Protocol):
    """Numbers that are computed of an input without its label: one row a sample, or one a word.

    It may declare `tried`, as TRIED is: what held-out labels choose from.

    Attributes:
        megabytes: of what reading an input needs.
    """

    megabytes: float

    def rows(self, inputs: Mapping[str, Sequence[Any]]) -> Any:
        """(rows, d) of role -> values, the rows of one input next to each other: float32, or a CSR matrix."""

    def weigh(self, rows: Any) -> Weigh:
        """How a model that learns from these rows weighs all others: of their kind, such as `standard`."""


def standard(rows: Any) -> Weigh:
    """Columns with mean 0 and deviation 1 on these dense rows."""
    mean, scale = rows.mean(axis=0), 1 / np.maximum(rows.std(axis=0), 1e-6)
    return lambda others: (others - mean) * scale


def plain(rows: Any) -> Weigh:
    """The rows as they are."""
    return lambda others: others


@dataclass(frozen=True)
class Linear:
    """A fitted model: rows @ weights + offsets are logits, or numbers.

    Attributes:
        weights: (d, k), of the features that count.
        columns: their places among all features; None: all.
        independent: whether any number of classes may be there at once.
    """

    weights: Floats
    offsets: Floats
    classes: int
    columns: Ints | None = None
    independent: bool = False

    def answers(self, rows: Any) -> Floats:
        """(rows, classes) probabilities, or (rows,) numbers where there are no classes."""
        rows = rows if self.columns is None else rows[:, self.columns]
        values = np.asarray(rows @ self.weights) + self.offsets
        if not self.classes:
            return values[:, 0]
        if self.independent:
            return 1 / (1 + np.exp(-np.clip(values, -700, 700)))
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


def solve(
    rows: Any, targets: Any, classes: int, penalty: float, balance: float = 0.0, start: Any = None
) -> Linear:
    """The optimum for one C.

    Args:
        balance: a label of a class with n labels counts (largest n / n) ** balance; 0: each the same.
        start: a regression that is fitted on from where it is.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    if targets.ndim == 2:
        parts = [solve(rows, column.astype(np.int64), 2, penalty, balance) for column in targets.T]
        logits = [(one.weights[:, 1] - one.weights[:, 0], one.offsets[1] - one.offsets[0]) for one in parts]
        weights, offsets = (np.stack(side, axis=-1) for side in zip(*logits, strict=True))
        return Linear(weights, offsets, classes, independent=True)
    if not classes:
        ridge = Ridge(alpha=1 / penalty).fit(rows, targets)
        return Linear(ridge.coef_.reshape(-1, 1), np.atleast_1d(ridge.intercept_), 0)
    weights, offsets = np.zeros((rows.shape[1], classes)), np.full(classes, ABSENT)
    known = np.unique(targets)
    offsets[known] = 0.0
    if len(known) > 1:
        found = start or LogisticRegression(max_iter=1000)
        with warnings.catch_warnings():  # of a C that does not converge held-out labels think little
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.filterwarnings("ignore", "The number of unique classes")  # few labels of many classes
            counts = np.bincount(targets, minlength=classes)
            weights_of = (counts.max() / np.maximum(counts, 1)) ** balance
            found.set_params(C=penalty).fit(rows, targets, weights_of[targets] if balance else None)
        last = known[-len(found.coef_) :]  # of two classes scikit-learn keeps the second alone
        weights[:, last], offsets[last] = found.coef_.T, found.intercept_
    return Linear(weights, offsets, classes)


def folds(groups: Sequence[str], seed: int, rows: int = 0) -> list[tuple[Ints, Ints]]:
    """Samples that are learnt from, and that judge: no group is on both sides; none if there is but one.

    Args:
        rows: how many all samples have.
    """
    from sklearn.model_selection import GroupKFold

    count = min(FOLDS, len(set(groups)))
    if count < 2:
        return []
    split = GroupKFold(count, shuffle=True, random_state=seed).split(groups, groups=groups)
    found = [(np.asarray(learned), np.asarray(judge)) for learned, judge in split]
    return found[:1] if len(groups) > ENOUGH[0] or rows > ENOUGH[1] else found


@dataclass(frozen=True)
class Problem:
    """Weighed rows in coordinates in which they are quick to solve.

    Attributes:
        rows: (n, r) in these coordinates, with a mean squared length of 1.
        back: weights in these coordinates -> weights of the features.
        columns: the features that count; None: all.
    """

    rows: Any
    back: Callable[[Floats], Floats]
    columns: Ints | None = None

    @classmethod
    def of(cls, rows: Any) -> Problem:
        """Few rows in the coordinates of their span; of many sparse ones, the usual columns."""
        from scipy import sparse

        columns = None
        count, width = rows.shape
        if sparse.issparse(rows):
            columns = np.flatnonzero(np.bincount(rows.indices, minlength=width))
            if count > SPAN and len(columns) > COLUMNS:
                common = np.argsort(-np.bincount(rows.indices, minlength=width), kind="stable")[:COLUMNS]
                columns = np.sort(common)
            rows = rows[:, columns]
        length = _norm(rows)
        scale = 1 / length if length else 1.0
        if count > SPAN or count >= rows.shape[1]:
            return cls(rows * scale, lambda weights: scale * weights, columns)
        gram = rows @ rows.T
        values, vectors = np.linalg.eigh(
            np.asarray(gram.toarray() if sparse.issparse(gram) else gram, np.float64)
        )
        kept = values > RANK * values[-1]
        if not kept.any():
            return cls(
                np.zeros((count, 1)), lambda weights: np.zeros((rows.shape[1], weights.shape[1])), columns
            )
        lengths, vectors = np.sqrt(values[kept]), vectors[:, kept]
        span = vectors / lengths * scale
        return cls(vectors * lengths * scale, lambda weights: np.asarray(rows.T @ (span @ weights)), columns)

    def solved(self, targets: Any, classes: int, penalty: float, balance: float = 0.0) -> Linear:
        """The model of the features."""
        from sklearn.linear_model import LogisticRegression

        exact = LogisticRegression(max_iter=1000, tol=1e-6 if len(targets) <= SPAN else 1e-4)
        found = solve(self.rows, targets, classes, penalty, balance, exact)
        return replace(found, weights=self.back(found.weights), columns=self.columns)

    def held_out(
        self, targets: Any, classes: int, tried: Sequence[Tried], parts: list[tuple[Ints, Ints]]
    ) -> list[Floats]:
        """Answers of each try to the rows that judge, part after part, of models without them."""
        from sklearn.linear_model import LogisticRegression

        found: list[list[Floats]] = [[] for _ in tried]
        for learned, judge in parts:
            path = LogisticRegression(max_iter=1000, warm_start=True)  # from one to the next
            for place, (penalty, balance) in enumerate(tried):
                model = solve(self.rows[learned], targets[learned], classes, penalty, balance, path)
                found[place].append(model.answers(self.rows[judge]))
        return [np.concatenate(answers) for answers in found]


def _norm(rows: Any) -> float:
    """Root of the mean squared length."""
    squares = (
        rows.multiply(rows).sum() if hasattr(rows, "multiply") else np.square(rows, dtype=np.float64).sum()
    )
    return float(np.sqrt(squares / max(1, rows.shape[0])))
