"""Attention on a CPU is torch's own, and packed segments do not see each other."""

import pytest
import torch
from torch import nn

from components.lib.models.text.attention import PLAIN, attend


def inputs(kind: torch.dtype, length: int = 24) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(3, 2, length, 8).to(kind).requires_grad_(True) for _ in range(3)]


def module(causal: bool) -> nn.Module:
    one = nn.Module()
    one.is_causal = causal
    return one


def segments(length: int = 24) -> torch.Tensor:
    """(3, 1, L, L) bool: rows of two segments, and one that ends with padding."""
    owner = torch.arange(length)[None] // torch.tensor([[9], [16], [5]])
    return (owner[:, :, None] == owner[:, None, :])[:, None]


def additive(mask: torch.Tensor, kind: torch.dtype) -> torch.Tensor:
    return torch.zeros(mask.shape, dtype=kind).masked_fill(~mask, torch.finfo(kind).min)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("masked", ["no mask", "additive", "wider", "bool", "causal"])
def test_values_and_gradients_are_those_of_torch(kind, masked):
    wide, given = segments(), None
    if masked in ("additive", "wider"):
        given = additive(wide, torch.float32 if masked == "wider" else kind)
    elif masked == "bool":
        given = wide
    answers = []
    for ours in (True, False):
        tensors = inputs(kind)
        if ours:
            out = attend(module(masked == "causal"), *tensors, given)[0].transpose(1, 2)
        else:
            doubles = [tensor.double() for tensor in tensors]
            mask = wide if given is not None else None
            causal = masked == "causal"
            out = nn.functional.scaled_dot_product_attention(*doubles, attn_mask=mask, is_causal=causal)
        (out.double() * torch.arange(8)).sum().backward()
        answers.append([out.double().detach(), *(tensor.grad.double() for tensor in tensors)])
    for our, their in zip(*answers, strict=True):
        tolerance = 1e-5 if kind == torch.float32 else 3e-2
        assert (our - their).norm() <= tolerance * their.norm()


def test_long_rows_and_rows_without_gradient_take_the_kernel_of_torch():
    for tensors, training in (
        (inputs(torch.float32, PLAIN[torch.float32] + 8), True),
        (inputs(torch.float32), False),
    ):
        with torch.set_grad_enabled(training):
            out = attend(module(False), *tensors, None)[0].transpose(1, 2)
        torch.testing.assert_close(out, nn.functional.scaled_dot_product_attention(*tensors))
