"""Temperature scaling against an independent optimiser, and where there are few labels or only votes."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from components.lib.models import calibration


def drawn(temperature: float, n: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose true probabilities are those at a temperature."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 3, (n, classes))
    chances = np.exp(log_softmax(logits / temperature, axis=1))
    return logits, np.array([generator.choice(classes, p=row) for row in chances])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_with_many_labels_it_is_the_maximum_of_the_likelihood(temperature):
    logits, targets = drawn(temperature, 4000)
    found = calibration.fitted(calibration.surprise(logits, targets))

    def loss(log_t: float) -> float:
        return -log_softmax(logits / np.exp(log_t), axis=1)[np.arange(len(targets)), targets].sum()

    assert found == pytest.approx(np.exp(minimize_scalar(loss, bounds=(-3, 3)).x), rel=0.01)
    assert found == pytest.approx(temperature, rel=0.1)


def test_few_labels_that_are_all_right_do_not_make_it_sure_of_everything():
    logits = np.array([[4.0, 0.0, 0.0]] * 10)
    found = calibration.fitted(calibration.surprise(logits, np.zeros(10, int)))
    assert 0.5 < found < 1.0
    assert calibration.fitted(calibration.surprise(logits[:0], np.zeros(0, int))) == 1.0
    worst = calibration.fitted(calibration.surprise(logits * 50, np.ones(10, int)))
    assert 9.0 < worst <= 11.0, "the end of the grid"


def test_votes_that_leave_a_class_nothing_are_not_calibrated():
    with np.errstate(divide="ignore"):
        logits = np.log(np.array([[1.0, 0.0], [0.6, 0.4]]))
    assert calibration.fitted(calibration.surprise(logits, np.array([1, 0]))) == 1.0
