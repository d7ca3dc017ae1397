"""Tasks against scikit-learn and seqeval."""

import numpy as np
import pytest
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities
from sklearn import metrics as reference

from components.lib.tasks import Reading, sequence_classification, token_classification
from components.lib.tasks.token_classification import _compare, spans

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def random_sequences(count: int = 200, seed: int = 0) -> list[list[str]]:
    generator = np.random.default_rng(seed)
    return [generator.choice(LABELS, generator.integers(1, 12)).tolist() for _ in range(count)]


def test_spans_are_seqevals():
    for labels in random_sequences():
        assert spans(labels) == set(get_entities(labels)), labels


def test_span_f1_is_seqevals():
    real = random_sequences(seed=1)
    generator = np.random.default_rng(2)
    guessed = [[g if generator.random() < 0.6 else str(generator.choice(LABELS)) for g in s] for s in real]
    table = np.array([_compare(a, b) for a, b in zip(real, guessed, strict=True)])
    columns = dict(zip(("tp", "fp", "fn", "correct", "tokens"), table.T, strict=True))
    values = token_classification.metrics(columns, np.ones((1, len(real))), LABELS)
    assert values["span_f1"][0] == pytest.approx(f1_score(real, guessed))
    assert values["span_precision"][0] == pytest.approx(precision_score(real, guessed))
    assert values["span_recall"][0] == pytest.approx(recall_score(real, guessed))


def outcomes(size: int = 500) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    label = generator.integers(0, 5, size)
    prediction = np.where(generator.random(size) < 0.6, label, generator.integers(0, 5, size))
    return {"label": label, "prediction": prediction, "confidence": generator.uniform(0.2, 1.0, size)}


def test_accuracy_and_macro_f1_are_scikit_learns():
    columns = outcomes()
    values = sequence_classification.metrics(columns, np.ones((1, 500)), list("abcde"))
    label, prediction = columns["label"], columns["prediction"]
    assert values["accuracy"][0] == pytest.approx(reference.accuracy_score(label, prediction))
    assert values["macro_f1"][0] == pytest.approx(reference.f1_score(label, prediction, average="macro"))


def test_calibration_error_by_hand():
    columns = {
        "label": np.array([0, 0, 0, 0]),
        "prediction": np.array([0, 0, 1, 0]),
        "confidence": np.array([0.95, 0.95, 0.95, 0.55]),
    }
    value = sequence_classification.metrics(columns, np.ones((1, 4)), ["a", "b"])["calibration_error"][0]
    assert value == pytest.approx((3 * abs(0.95 - 2 / 3) + abs(0.55 - 1.0)) / 4)


def test_whole_numbers_are_classes():
    assert sequence_classification.parse({"text": "x", "label": 3}, Reading()) == ({"text": "x"}, "3")
