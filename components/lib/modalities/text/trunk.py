"""Text trunks: `transformers` models that read packed rows, and static embeddings that read bags of words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from components.lib.engine.dropout import rekeyed
from components.lib.modalities.text.bags import Bags
from components.lib.models import loading
from components.lib.models.text import attention, last_block, static
from components.lib.models.text.architectures import CAUSAL
from components.lib.models.text.packing import Packed

static.register()


class Trunk(nn.Module):
    """A `transformers` model that reads packed rows.

    Attributes:
        model, width: the model, and the length of its hidden states.
        unread: last-block weights skipped for a token whose output is not needed (for FLOPs).
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        model.set_attn_implementation(attention.register())
        self.unread = last_block.narrow(model)
        self.model: Any = model
        self.width: int = model.config.hidden_size
        self.causal = model.config.model_type in CAUSAL

    def forward(self, packed: Packed, places: Tensor | None = None) -> Tensor:
        """(R, L, width) hidden states; a token sees the tokens of its own segment alone.

        Args:
            places: (m,) in the flattened rows; the answer is (m, width), of these tokens alone.
        """
        arguments: dict[str, Any] = {"input_ids": packed.ids, "position_ids": packed.positions}
        arguments["attention_mask"] = self._mask(packed)
        if self.causal:
            arguments["use_cache"] = False
        if packed.ids.device.type == "cuda":
            arguments |= {"bounds": packed.bounds, "longest": packed.longest}
        with rekeyed(packed.token_keys):
            hidden: Tensor = self.model(**arguments, places=places).last_hidden_state
        if places is None:
            return hidden
        return hidden[0] if self.unread else hidden.flatten(0, 1)[places]

    def pool(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(R, L, width) -> (n, width): one vector a segment, as this architecture's classifier pools."""
        flat = hidden.flatten(0, 1)
        if self.causal:
            return flat[packed.places[packed.starts[1:] - 1]]
        if self.model.config.model_type == "bert":
            pooled: Tensor = self.model.pooler(flat[packed.places[packed.starts[:-1]]][:, None])
            return pooled
        owner = packed.segments.flatten()[packed.places] - 1
        sums = flat.new_zeros(len(packed), self.width).index_add(0, owner, flat[packed.places])
        return sums / packed.starts.diff()[:, None]

    def embedding(self) -> Tensor:
        """(vocabulary, width) the input embedding, to which heads are tied."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors, which `AutoModel.from_pretrained` reads."""
        loading.save(self.model, folder)

    def _mask(self, packed: Packed) -> Tensor | None:
        """(R, 1, L, L) additive: 0 where a token may look, the lowest number elsewhere.

        A bool mask is silently wrong in eager attention, and 2-D masks let packed documents see each other.
        """
        if packed.whole:
            return None
        segments = packed.segments
        visible = segments[:, None, :, None] == segments[:, None, None, :]
        if self.causal:
            visible = visible & torch.ones_like(visible[:1, :1]).tril()
        kind = self.embedding().dtype
        return torch.zeros(visible.shape, dtype=kind, device=segments.device).masked_fill(
            ~visible, torch.finfo(kind).min
        )


class StaticTrunk(nn.Module):
    """Static embeddings.

    Attributes:
        model, width: the model, and the length of a text vector.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model
        self.width: int = model.config.hidden_size

    def forward(self, bags: Bags) -> Tensor:
        """(n, width) text vectors."""
        vectors: Tensor = self.model.bags(bags.ids, bags.weights, bags.starts)
        return vectors

    def pool(self, hidden: Tensor, bags: Bags) -> Tensor:
        """(n, width): there is one vector a text already."""
        return hidden

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors, which `AutoModel.from_pretrained` reads."""
        loading.save(self.model, folder)


def load(folder: Path) -> Trunk | StaticTrunk:
    """A trunk from a folder that its `save` wrote."""
    return _trunk(loading.model(AutoModel, folder))


def built(config: Any) -> Trunk | StaticTrunk:
    """A trunk with random weights."""
    return _trunk(AutoModel.from_config(config))


def _trunk(model: Any) -> Trunk | StaticTrunk:
    return StaticTrunk(model) if isinstance(model, static.StaticEmbeddings) else Trunk(model)
