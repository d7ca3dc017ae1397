"""Causal decoder of a text from one vector, thrown away after pre-training."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from components.lib.models.text import attention
from components.lib.models.text.packing import Packed, additive


class Block(nn.Module):
    """Layer of BERT's decoder: causal self-attention, cross-attention, feed-forward; post-norm.

    Cross-attention to a single vector gives it the whole weight, so that there is no query and no key of it.
    """

    is_causal = True

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.seen = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.told = nn.Sequential(nn.Linear(width, width), nn.Linear(width, width))
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=1e-12) for _ in range(3))

    def forward(self, hidden: Tensor, vectors: Tensor, owner: Tensor, mask: Tensor | None) -> Tensor:
        """(R, L, width) -> (R, L, width).

        Args:
            vectors: (n, width) one a segment.
            owner: (R, L) segment of each token.
            mask: (R, 1, L, L) added to the scores; None: every row is a segment.
        """
        rows, length, width = hidden.shape
        parts = self.seen(hidden).view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen, _ = attention.attend(self, query, key, value, mask)
        hidden = self.norms[0](hidden + self.attended(seen.reshape(rows, length, width)))
        hidden = self.norms[1](hidden + self.told(vectors)[owner])
        answer: Tensor = self.norms[2](hidden + self.feed(hidden))
        return answer


class VectorDecoder(nn.Module):
    """Transformer over packed rows that is told one vector a segment; its table of tokens is the trunk's."""

    def __init__(self, trunk: Any, layers: int, positions: int) -> None:
        super().__init__()
        width, embedded = trunk.width, trunk.embedding().shape[1]
        heads = trunk.model.config.num_attention_heads
        self.enter = nn.Linear(embedded, width) if embedded != width else nn.Identity()
        self.positions = nn.Embedding(positions, width)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.layers = nn.ModuleList(Block(width, heads) for _ in range(layers))

    def forward(self, packed: Packed, vectors: Tensor, table: Tensor) -> Tensor:
        """(R, L, width) states, each of what stands before it in its segment and of the segment's vector."""
        embedded = self.enter(nn.functional.embedding(packed.ids, table)) + self.positions(packed.positions)
        hidden: Tensor = self.norm(embedded)
        mask = None if packed.whole else additive(packed.visible(causal=True), hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, vectors, packed.segments - 1, mask)
        return hidden
