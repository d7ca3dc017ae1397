"""Signs of collapse against their definitions in float64, healthy and collapsed."""

import itertools
import math

import numpy as np
import pytest
import torch

from components.lib.models.collapse import PARTS, SPREAD, signs, spread


def unit(features: torch.Tensor) -> np.ndarray:
    rows = features.double().numpy()
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("shape", [(12, 5), (6, 30)])
def test_values_are_their_definitions(shape):
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(shape, generator=generator) for _ in range(2))
    found = signs(first, second, 3.0)
    one, two = unit(first), unit(second)
    values = np.linalg.eigvalsh(np.cov(one.T, bias=True))
    pairs = [math.exp(-2 * ((a - b) ** 2).sum()) for a, b in itertools.permutations(one, 2)]
    expected = {
        "feature_std": one.std(axis=0).mean() * math.sqrt(shape[1]),
        "effective_rank": values.sum() ** 2 / (values**2).sum(),
        "uniformity": math.log(np.mean(pairs)),
        "alignment": ((one - two) ** 2).sum(axis=1).mean(),
    }
    assert tuple(found) == PARTS
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(3.0 * value, rel=1e-4), name


def test_features_that_say_the_same_of_every_sample_show():
    found = spread(torch.ones(16, 8), 1.0)
    assert tuple(found) == SPREAD
    assert found["feature_std"].item() == pytest.approx(0, abs=1e-3)
    assert found["uniformity"].item() == pytest.approx(0, abs=1e-3)


def test_features_on_a_line_have_rank_one():
    line = torch.outer(torch.linspace(-1, 1, 20), torch.tensor([1.0, 2.0, 3.0])) + 10
    assert spread(line, 1.0)["effective_rank"].item() == pytest.approx(1, abs=0.05)
    assert spread(torch.randn(2000, 8), 1.0)["effective_rank"].item() == pytest.approx(8, abs=0.3)
