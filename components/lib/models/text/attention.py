"""Scaled dot-product attention by the fastest exact kernel, for `transformers` models by the name `NAME`.

On a CPU, torch's SDPA backward is slow in bf16 (several times two matrix products, see
tests/benchmarks/LOG.md), so short rows are computed by plain matrix products. On a GPU, the segments of
packed rows go to a varlen kernel, which costs their own squares alone and needs no mask.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

NAME = "trunkline"
PLAIN = {torch.bfloat16: 2048, torch.float32: 256}  # longest rows for plain matrix products on a CPU


def register() -> str:
    """Registers the attention with `transformers`; returns its name there."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    return NAME


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    bounds: Tensor | None = None,
    longest: int = 0,
    **more: Any,
) -> tuple[Tensor, None]:
    """(B, H, L, D) queries, keys, values -> (B, L, H, D).

    Args:
        attention_mask: (B, 1, L, L), added to the scores, or bool.
        bounds: (n + 1,) cumulative segment bounds in the flattened rows (`cu_seqlens`).
        longest: length of the longest segment.
    """
    scale = scaling or query.shape[-1] ** -0.5
    local = getattr(module, "sliding_window", None)  # the kernel for segments is told of no window
    if bounds is not None and query.dtype in (torch.bfloat16, torch.float16) and not dropout and not local:
        return _by_segments(query, key, value, bounds, longest, scale, bool(module.is_causal)), None
    short = query.shape[2] <= PLAIN.get(query.dtype, 0) and query.shape == key.shape
    if query.device.type == "cpu" and short and torch.is_grad_enabled():
        return _plain(module, query, key, value, attention_mask, dropout, scale), None
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    answer: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **more
    )
    return answer


def _plain(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    dropout: float,
    scale: float,
) -> Tensor:
    scores = (query * scale) @ key.transpose(-1, -2)
    lowest = torch.finfo(scores.dtype).min
    if mask is None and getattr(module, "is_causal", False):
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None and mask.dtype == torch.bool:
        scores = scores.masked_fill(~mask, lowest)
    elif mask is not None:
        scores = scores + mask.to(scores.dtype).clamp(min=lowest)
    shares = scores.softmax(-1)
    return (nn.functional.dropout(shares, dropout) @ value).transpose(1, 2)


def _by_segments(
    query: Tensor, key: Tensor, value: Tensor, bounds: Tensor, longest: int, scale: float, causal: bool
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    rows, heads, length, width = query.shape
    query, key, value = (
        part.transpose(1, 2).reshape(rows * length, -1, width) for part in (query, key, value)
    )
    window = (-1, 0) if causal else (-1, -1)
    answer: Any = varlen_attn(
        query, key, value, bounds, bounds, longest, longest, scale=scale, window_size=window
    )
    whole: Tensor = answer.view(rows, length, heads, width)
    return whole
