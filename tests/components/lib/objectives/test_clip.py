"""CLIP's and SigLIP's losses against their published forms, in float64, and what counts as no negative."""

import numpy as np
import pytest
import torch
from torch import nn

from components.lib.objectives import clip
from tests import made
from tests.made.in_memory import draw


def reference(loss: str, images: torch.Tensor, texts: torch.Tensor, scale, bias) -> torch.Tensor:
    """As the papers' pseudo code has them: a mean over the batch."""
    logits = scale * images @ texts.T
    labels = torch.arange(len(logits))
    if loss == "softmax":
        return (
            nn.functional.cross_entropy(logits, labels) + nn.functional.cross_entropy(logits.T, labels)
        ) / 2
    signs = 2 * torch.eye(len(logits), dtype=logits.dtype) - 1
    return -nn.functional.logsigmoid(signs * (logits + bias)).sum() / len(logits)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_values_and_gradients_are_those_of_the_papers(loss):
    torch.manual_seed(0)
    vectors = [torch.randn(12, 8, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    scale, bias = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (7.0, -3.0))
    units = [nn.functional.normalize(one, dim=1) for one in vectors]
    keys = torch.arange(24).reshape(2, 12)
    across, back, own, other = clip.compare(*units, *units, keys, keys)
    if loss == "softmax":
        ours = (clip.softmax(scale * across, own, other) + clip.softmax(scale * back, own, other)) / 2
    else:
        ours = clip.sigmoid(scale * across + bias, own, other)
    theirs = reference(loss, *units, scale, bias) * 12
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)
    weights = [*vectors, scale, *([bias] if loss == "sigmoid" else [])]
    for one, two in zip(
        *(torch.autograd.grad(value, weights, retain_graph=True) for value in (ours, theirs)), strict=True
    ):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", ["softmax", "sigmoid"])
def test_neither_the_sample_itself_nor_another_of_the_same_caption_is_a_negative(loss):
    """Columns that are not negatives might as well not be there; and no gradient is lost to them."""
    samples = made.open_samples("pairs")
    torch.manual_seed(0)
    objective = clip.Objective(clip.Config(loss=loss), samples.trunk())
    twice = objective.prepare(samples, draw([0, 1, 2, 3, 2]))
    total = objective(twice).total
    total.backward()
    assert all(torch.isfinite(p.grad).all() for p in objective.parameters() if p.grad is not None)
    assert objective.trunk.model.scale.grad.abs() > 0
    keys = torch.tensor([[0, 1, 2], [5, 6, 5]])
    _, _, own, other = clip.compare(*[torch.eye(3)] * 4, keys, keys)
    assert own.tolist() == [0, 1, 2] and np.argwhere(other.numpy()).tolist() == [[0, 2], [2, 0]]


def test_an_epoch_draws_another_caption_and_a_view_is_a_function_of_its_seed():
    samples = made.open_samples("pairs")
    words = [samples.pair(draw(12, epoch=epoch)).words for epoch in (0, 0, 1)]
    assert torch.equal(words[0], words[1]) and not torch.equal(words[0], words[2])
    alone = samples.pair(draw([3, 7], epoch=1))
    assert torch.equal(alone.words, words[2][[3, 7]])
    assert torch.equal(alone.images.pixels(), samples.pair(draw(12, epoch=1)).images.pixels()[[3, 7]])
