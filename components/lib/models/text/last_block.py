"""The last block of an encoder, computed only where a head reads it.

Behind its attention a block treats each token by itself, so a token that nobody reads needs nothing there.
What is read, and the gradient, are those of the whole block: with 30 % of the tokens read, at half its cost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor


def narrow(model: Any) -> int:
    """Lets an encoder of `transformers` take `places`, (m,) in the flattened rows: the tokens that are read.

    Its `last_hidden_state` is then (1, m, width).

    Returns:
        How many weights of matrices a token that is not read passes by; 0 for a model that is left as it is.
    """
    kind = model.config.model_type
    if kind not in FORWARD:
        return 0
    block = (model.encoder.layer if kind == "bert" else model.layers)[-1]
    block.forward = partial(FORWARD[kind], block)
    weights = (weight for part in BEHIND[kind] for weight in block.get_submodule(part).parameters())
    return sum(weight.numel() for weight in weights if weight.ndim == 2)


def _bert(
    block: Any, hidden: Tensor, mask: Tensor | None, *cross: None, places: Tensor | None = None, **more: Any
) -> Tensor:
    seen, _ = block.attention.self(hidden, mask, **more)  # `cross` is what an encoder alone has not
    read: Tensor = block.attention.output(_at(seen, places), _at(hidden, places))
    answer: Tensor = block.feed_forward_chunk(read)
    return answer


def _modernbert(block: Any, hidden: Tensor, places: Tensor | None = None, **more: Any) -> Tensor:
    seen, _ = block.attn(block.attn_norm(hidden), **more)
    read = _at(hidden + seen, places)
    answer: Tensor = read + block.mlp(block.mlp_norm(read))
    return answer


def _at(hidden: Tensor, places: Tensor | None) -> Tensor:
    """(R, L, width) -> (1, m, width)."""
    return hidden if places is None else hidden.flatten(0, 1)[places][None]


FORWARD: dict[str, Callable[..., Tensor]] = {"bert": _bert, "modernbert": _modernbert}  # by `model_type`
BEHIND = {"bert": ("attention.output", "intermediate", "output"), "modernbert": ("mlp",)}
