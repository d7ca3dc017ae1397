"""NT-Xent against its formula in float64, as are triplet and circle."""

import math

import pytest
import torch
from torch.nn import functional

from components.lib.objectives.contrastive import LOSSES, Config, compare


def formula(first: torch.Tensor, second: torch.Tensor, temperature: float) -> float:
    """Equation 1 of the SimCLR paper, term by term, summed over the 2 N views."""
    z = torch.cat([first, second]).double()
    size, total = len(first), 0.0
    for i in range(2 * size):
        j = (i + size) % (2 * size)
        similarity = [
            float(functional.cosine_similarity(z[i], z[k], dim=0)) / temperature for k in range(2 * size)
        ]
        total -= similarity[j] - math.log(sum(math.exp(s) for k, s in enumerate(similarity) if k != i))
    return total


def nt_xent(rows: torch.Tensor, ids: torch.Tensor, temperature: float) -> torch.Tensor:
    return LOSSES["nt_xent"](compare(rows, rows, ids, ids), Config(temperature=temperature))


def triplet_formula(first: torch.Tensor, second: torch.Tensor, margin: float) -> float:
    """Equation 5 of Hermans et al. with cosine similarity: the hardest negative of each anchor."""
    z, total = torch.cat([first, second]).double(), 0.0
    size = len(first)
    for i in range(2 * size):
        j = (i + size) % (2 * size)
        hardest = max(float(z[i] @ z[k]) for k in range(2 * size) if k not in (i, j))
        total += max(0.0, margin + hardest - float(z[i] @ z[j]))
    return total


def circle_formula(first: torch.Tensor, second: torch.Tensor, margin: float, scale: float) -> float:
    """Equations 4 to 7 of the paper, with one positive."""
    z, total = torch.cat([first, second]).double(), 0.0
    size = len(first)
    for i in range(2 * size):
        j = (i + size) % (2 * size)
        positive = float(z[i] @ z[j])
        pulled = math.exp(-scale * max(0.0, 1 + margin - positive) * (positive - (1 - margin)))
        pushed = 0.0
        for k in range(2 * size):
            if k not in (i, j):
                negative = float(z[i] @ z[k])
                pushed += math.exp(scale * max(0.0, negative + margin) * (negative - margin))
        total += math.log(1 + pushed * pulled)
    return total


@pytest.mark.parametrize("margin", [0.1, 0.25, 0.4])
def test_triplet_and_circle_are_their_formulas(margin):
    torch.manual_seed(0)
    first, second = (functional.normalize(torch.randn(6, 5).double(), dim=1) for _ in range(2))
    rows, ids = torch.cat([first, second]), torch.arange(6)
    similarity, config = compare(rows, rows, ids, ids), Config(margin=margin, scale=16.0)
    assert LOSSES["triplet"](similarity, config).item() == pytest.approx(
        triplet_formula(first, second, margin), rel=1e-9
    )
    assert LOSSES["circle"](similarity, config).item() == pytest.approx(
        circle_formula(first, second, margin, 16.0), rel=1e-9
    )


def test_the_weights_of_circle_have_no_gradient():
    """Section 3.2 of the paper: the gradient of a similarity is its weight times that of the softmax."""
    similarity = torch.tensor([[0.3, 0.5, -0.1]], dtype=torch.float64, requires_grad=True)
    config = Config(margin=0.25, scale=8.0)
    LOSSES["circle"](similarity, config).backward()
    weights = [1.25 - 0.3, 0.5 + 0.25, -0.1 + 0.25]
    exponents = [
        -8 * weights[0] * (0.3 - 0.75),
        8 * weights[1] * (0.5 - 0.25),
        8 * weights[2] * (-0.1 - 0.25),
    ]
    pushed = math.exp(exponents[1]) + math.exp(exponents[2])
    share = pushed * math.exp(exponents[0]) / (1 + pushed * math.exp(exponents[0]))
    expected = [-8 * weights[0] * share, *(8 * w * share * math.exp(e) / pushed
                for w, e in zip(weights[1:], exponents[1:], strict=True))]  # fmt: skip
    assert similarity.grad[0].tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("temperature", [0.05, 0.5, 1.0])
def test_value_is_the_formula(temperature):
    torch.manual_seed(0)
    first, second = (functional.normalize(torch.randn(7, 5).double(), dim=1) for _ in range(2))
    rows, ids = torch.cat([first, second]), torch.arange(7)
    total = nt_xent(rows, ids, temperature)
    assert total.item() == pytest.approx(formula(first, second, temperature), rel=1e-9)


def test_gradient_is_the_formulas():
    torch.manual_seed(0)
    raw = torch.randn(8, 4, dtype=torch.float64, requires_grad=True)
    ids = torch.arange(4)

    def loss(values: torch.Tensor) -> torch.Tensor:
        rows = functional.normalize(values, dim=1)
        return nt_xent(rows, ids, 0.2)

    assert torch.autograd.gradcheck(loss, raw)


def test_a_sample_that_is_twice_in_the_batch_is_no_negative_of_itself():
    torch.manual_seed(0)
    views = functional.normalize(torch.randn(6, 5), dim=1)
    rows = torch.cat([views[:3], views[:1], views[3:], views[3:4]])  # sample 0 again, with the same views
    ids = torch.tensor([0, 1, 2, 0])
    total = nt_xent(rows, ids, 0.1)
    logits = rows @ rows.T / 0.1
    for row, sample in enumerate(ids.repeat(2)):
        others = torch.cat([ids != sample, ids != sample])
        assert others.sum() == (4 if sample == 0 else 6)
        logits[row, ~others] = -math.inf
    position = torch.tensor([4, 5, 6, 4, 0, 1, 2, 0])
    for row, column in enumerate(position):
        logits[row, column] = rows[row] @ rows[column] / 0.1
    expected = functional.cross_entropy(logits, position, reduction="sum")
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
