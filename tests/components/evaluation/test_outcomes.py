"""What is told of outcomes depends on what they are: classes, or numbers."""

import numpy as np
import pytest

from components.evaluation import confusion, outcomes


def columns(**values):
    return {name: np.array(value) for name, value in values.items()}


@pytest.mark.parametrize(
    ("scored", "recorded", "share"),
    [
        (columns(prediction=[0, 1, 2, 1]), columns(prediction=[0, 1, 2, 0]), 0.75),
        # classes decide: a confidence differs by the order of summation
        (
            columns(prediction=[0, 1], confidence=[0.5, 0.7]),
            columns(prediction=[0, 1], confidence=[0.5, 0.6]),
            1,
        ),
        (columns(prediction=[1.0, 2.0]), columns(prediction=[1.0 + 1e-7, 2.5]), 0.5),
    ],
)
def test_outcomes_agree_where_they_are_the_same(scored, recorded, share):
    assert outcomes.agreement(scored, recorded) == share


def test_numbers_are_not_taken_for_classes():
    found = columns(label=[1.5, 2.0], prediction=[1.0, 2.5], confidence=[0.9, 0.1])
    assert confusion.matrix(found, []) is None
    assert confusion.confident_errors(found, [None, None], [], lambda value: {"text": ""}) == []
