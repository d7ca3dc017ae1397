"""The loss over a large vocabulary is torch's, row by row."""

import pytest
import torch
from torch import nn

from components.lib.models.text import prediction
from components.lib.models.text.prediction import predict


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, 100])
def test_loss_hits_and_gradient_are_those_of_cross_entropy(kind, rows, monkeypatch):
    monkeypatch.setattr(prediction, "CACHED", 50 * rows)
    torch.manual_seed(0)
    logits = (5 * torch.randn(7, 50)).to(kind).requires_grad_(True)
    targets = torch.tensor([0, 49, 3, *logits.argmax(1)[3:]])
    total, hits = predict(logits, targets)
    (3 * total).backward()
    ours, logits.grad = logits.grad, None
    wide = logits.to(torch.promote_types(kind, torch.float32))
    expected = nn.functional.cross_entropy(wide, targets, reduction="sum")
    (3 * expected).backward()
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(ours, logits.grad)
    assert hits == (logits.argmax(1) == targets).sum()


def test_a_large_logit_does_not_overflow():
    logits = torch.tensor([[1e4, 0.0], [-1e4, 1e4]], requires_grad=True)
    total, hits = predict(logits, torch.tensor([0, 0]))
    total.backward()
    assert total == 2e4 and hits == 1 and logits.grad.isfinite().all()


def test_nothing_to_predict_is_no_loss():
    hidden = torch.randn(0, 4, requires_grad=True)
    total, hits = predict(hidden @ torch.randn(4, 9), torch.empty(0, dtype=torch.int64))
    total.backward()
    assert total == 0 and hits == 0
