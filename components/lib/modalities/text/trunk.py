"""Text trunks: `transformers` models that read packed rows, and static embeddings that read bags of words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel

from components.lib.core.errors import ConfigError
from components.lib.engine.dropout import rekeyed
from components.lib.modalities.text.bags import Bags
from components.lib.models import loading
from components.lib.models.families import FAMILIES
from components.lib.models.text import attention, last_block, static
from components.lib.models.text.architectures import CAUSAL
from components.lib.models.text.packing import Packed, additive

static.register()


class Trunk(nn.Module):
    """A `transformers` model that reads packed rows.

    Attributes:
        model, width: the model, and the length of its hidden states.
        unread: last-block weights skipped for a token whose output is not needed (for FLOPs).
        pooling: "cls", "mean" or "last" token of published weights; else "", as its classifier pools.
        head: parts of a language model's head that published weights had, by the names of `families`.
        epsilon: of that head's norm.
    """

    def __init__(self, model: Any, head: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.kernels = bool(model._supports_attention_backend)  # MPNet has an attention of its own
        if self.kernels:
            model.set_attn_implementation(attention.register())
        self.unread = last_block.narrow(model)
        self.model: Any = model
        self.width: int = model.config.hidden_size
        self.causal = model.config.model_type in CAUSAL
        self.pooling: str = getattr(model.config, "pooling", "")
        tied = bool(getattr(model.config, "tie_word_embeddings", True))
        self.head = {
            part: value for part, value in (head or {}).items() if not tied or part != "decoder.weight"
        }
        self.epsilon: float = getattr(
            model.config, "layer_norm_eps", getattr(model.config, "norm_eps", 1e-12)
        )
        family = FAMILIES.get(model.config.model_type)
        self.first = model.config.pad_token_id + 1 if family and family.offset else 0  # of the positions
        kinds = getattr(model.config, "layer_types", None) or ()
        self.window: int = model.config.sliding_window if "sliding_attention" in kinds else 0

    def forward(self, packed: Packed, places: Tensor | None = None) -> Tensor:
        """(R, L, width) hidden states; a token sees the tokens of its own segment alone.

        Args:
            places: (m,) in the flattened rows; the answer is (m, width), of these tokens alone.
        """
        arguments: dict[str, Any] = {"input_ids": packed.ids, "position_ids": packed.positions + self.first}
        arguments["attention_mask"] = self._mask(packed)
        if packed.types is not None and getattr(self.model.config, "type_vocab_size", 1) > 1:
            arguments["token_type_ids"] = packed.types
        if self.causal:
            arguments["use_cache"] = False
        if packed.ids.device.type == "cuda" and self.kernels:
            arguments |= {"bounds": packed.bounds, "longest": packed.longest}
        if self.unread:
            arguments["places"] = places
        with rekeyed(packed.token_keys):
            hidden: Tensor = self.model(**arguments).last_hidden_state
        if places is None:
            return hidden
        return hidden[0] if self.unread else hidden.flatten(0, 1)[places]

    def pool(self, hidden: Tensor, packed: Packed) -> Tensor:
        """(R, L, width) -> (n, width): one vector a segment, as this architecture's classifier pools.

        Of published weights as their own settings say, except that it is not scaled to length 1.
        """
        flat = hidden.flatten(0, 1)
        if self.pooling == "last" or (self.causal and not self.pooling):
            return flat[packed.places[packed.starts[1:] - 1]]
        first = packed.places[packed.starts[:-1]]
        if self.pooling == "cls":
            return flat[first]
        if self.model.config.model_type == "bert" and not self.pooling:
            pooled: Tensor = self.model.pooler(flat[first][:, None])
            return pooled
        owner = packed.segments.flatten()[packed.places] - 1
        sums = flat.new_zeros(len(packed), self.width).index_add(0, owner, flat[packed.places])
        return sums / packed.starts.diff()[:, None]

    def embedding(self) -> Tensor:
        """(vocabulary, width; of ELECTRA less) the input embedding, to which heads are tied."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors, which `AutoModel.from_pretrained` reads."""
        loading.save(self.model, folder)

    def _mask(self, packed: Packed) -> Any:
        """(R, 1, L, L) additive, by kind of layer: 2-D masks would let packed documents see each other."""
        if packed.whole:
            return None
        visible, kind = packed.visible(causal=self.causal), self.embedding().dtype
        whole = additive(visible, kind)
        if not self.window:
            return whole
        at = torch.arange(visible.shape[-1], device=packed.ids.device)
        apart = at[:, None] - at[None, :]  # causal layers of this window see one token less to the left
        near = apart < self.window if self.causal else apart.abs() <= self.window
        return {"full_attention": whole, "sliding_attention": additive(visible & near, kind)}


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


def load(folder: Path, dropout: float | None = None) -> Trunk | StaticTrunk:
    """A trunk from a folder that its `save` wrote, or of published weights.

    Args:
        folder: config.json and safetensors.
        dropout: of hidden states, to go on with; masks of attention weights are switched off then, as they
            are not a function of the sample. None: all as config.json says.

    Raises:
        DataError: if the weights are not those of config.json.
    """
    return of(loading.trunk(folder, **loading.rates(folder, dropout)), loading.head(folder))


def check(trunk: Trunk | StaticTrunk, length: int, vocabulary: int) -> None:
    """Raises ConfigError if a trunk cannot read rows of `length` tokens, or ids below `vocabulary`."""
    config = trunk.model.config
    positions = config.max_position_embeddings - (trunk.first if isinstance(trunk, Trunk) else 0)
    if length > positions:
        what, where = "rows would be longer than the trunk to start from has positions", "sequence_length"
        raise ConfigError(what, where=f"pretraining.trunk.{where}", found=length, expected=f"<= {positions}")
    if vocabulary > config.vocab_size:
        what, fix = "the tokens have ids without a row in the weights", "use the tokenizer of these weights"
        raise ConfigError(what, found=vocabulary, expected=f"<= {config.vocab_size}", fix=fix)


def built(config: Any) -> Trunk | StaticTrunk:
    """A trunk with random weights."""
    return of(AutoModel.from_config(config))


def of(model: Any, head: Mapping[str, Tensor] | None = None) -> Trunk | StaticTrunk:
    """The trunk that reads by a model."""
    return StaticTrunk(model) if isinstance(model, static.StaticEmbeddings) else Trunk(model, head)
