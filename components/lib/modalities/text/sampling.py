"""Sampling from a causal language model: temperature, nucleus (Holtzman et al., ICLR 2020), greedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.lib.engine.randomness import uniform


@torch.no_grad()
def sampled(
    model: Any,
    prompts: Sequence[list[int]],
    *,
    most: int,
    temperature: float,
    top_p: float,
    seed: int,
    end: int | None,
    never: Sequence[int],
) -> list[list[int]]:
    """What the model writes after each prompt, up to its end or `most` tokens.

    A text depends on its prompt and the seed, not on the others of its batch.

    Args:
        prompts: one token or more each.
        temperature: 0 takes the likeliest token.
        top_p: share of the likeliest tokens that are drawn from.
        end: the token that ends a text, which is not returned; None: there is none.
        never: tokens that are not written.
    """
    device, longest = next(model.parameters()).device, max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(one)) + one for one in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts], device=device)
    written = np.zeros((len(prompts), 0), np.int64)
    done, past = np.zeros(len(prompts), bool), None
    for step in range(most):
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        given = {"input_ids": ids, "attention_mask": mask, "position_ids": places, "use_cache": True}
        found = model(**given, past_key_values=past)
        past, logits = found.past_key_values, found.logits[:, -1].double()
        logits[:, [one for one in never if one != end]] = -torch.inf
        chosen = _chosen(logits, temperature, top_p, float(uniform(seed, "sample", step)[0]))
        written = np.column_stack([written, chosen.cpu().numpy()])
        done |= written[:, -1] == (-1 if end is None else end)
        if done.all():
            break
        ids, mask = chosen[:, None], torch.cat([mask, torch.ones_like(mask[:, :1])], dim=1)
    return [_until(row, end) for row in written.tolist()]


def _until(row: list[int], end: int | None) -> list[int]:
    return row[: row.index(end)] if end is not None and end in row else row


def _chosen(logits: Tensor, temperature: float, top_p: float, draw: float) -> Tensor:
    """(n,) tokens, by a number in [0, 1) that is the same for all rows."""
    if temperature == 0:
        return logits.argmax(dim=1)
    chances, order = (logits / temperature).softmax(dim=1).sort(dim=1, descending=True, stable=True)
    sums = chances.cumsum(dim=1)
    kept = torch.where(sums - chances < top_p, chances, 0.0)  # the likeliest one always
    sums = kept.cumsum(dim=1)
    place = (sums <= draw * sums[:, -1:]).sum(dim=1).clamp(max=chances.shape[1] - 1)
    return order.gather(1, place[:, None])[:, 0]
