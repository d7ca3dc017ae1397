"""Configurations of text networks by architecture and size, built by `transformers` with random weights.

Sizes of transformers up to `medium` are Google's BERT miniatures (Turc et al., 2019); `nano` and `micro` are
for CPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# name: (layers, hidden size, heads, feed-forward size)
SIZES = {
    "nano": (1, 64, 2, 128),
    "micro": (1, 128, 2, 256),
    "tiny": (2, 128, 2, 512),
    "mini": (4, 256, 4, 1024),
    "small": (4, 512, 8, 2048),
    "medium": (8, 512, 8, 2048),
    "base": (12, 768, 12, 3072),
    "large": (24, 1024, 16, 4096),
}
# name: width of static embeddings; word2vec, GloVe and fastText have 300
STATIC_WIDTHS = {
    "nano": 32,
    "micro": 64,
    "tiny": 128,
    "mini": 200,
    "small": 300,
    "medium": 512,
    "base": 768,
    "large": 1024,
}


@dataclass(frozen=True)
class Dials:
    """Hyper-parameters of a text trunk.

    Attributes:
        positions: longest input, in tokens.
        special: ids by name: pad, unk, bos, eos, mask.
        dropout: of hidden states; none of attention weights, so that attention keeps its fast kernels.
        depth: layers of static embeddings; transformers have those of their size.
    """

    size: str
    vocabulary: int
    positions: int
    special: dict[str, int]
    dropout: float = 0.0
    depth: int = 1

    def shape(self) -> dict[str, int]:
        """Sizes under the names of `transformers`, the feed-forward's left out."""
        layers, width, heads, _ = SIZES[self.size]
        sizes = {"vocab_size": self.vocabulary, "max_position_embeddings": self.positions}
        return {**sizes, "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}

    def ids(self) -> dict[str, int]:
        """The special ids under the names of `transformers`."""
        names = {"pad": "pad_token_id", "bos": "bos_token_id", "eos": "eos_token_id"}
        return {names[name]: value for name, value in self.special.items() if name in names}


def bert(dials: Dials) -> Any:
    """Devlin et al., "BERT", 2019: absolute positions, post-norm, pooled by a layer on the first token."""
    from transformers import BertConfig

    inner, pad, drop = SIZES[dials.size][3], dials.special["pad"], dials.dropout
    options = {"hidden_dropout_prob": drop, "attention_probs_dropout_prob": 0.0, "pad_token_id": pad}
    return BertConfig(**dials.shape(), intermediate_size=inner, **options)


def modernbert(dials: Dials) -> Any:
    """Warner et al., "ModernBERT", 2024: rotary positions, gated feed-forward, pooled by the mean.

    Every layer attends globally: the local layers of the original pay off only beyond 128 tokens.
    """
    from transformers import ModernBertConfig

    inner, special, drop = 2 * SIZES[dials.size][3] // 3, dials.ids(), dials.dropout
    special |= {"cls_token_id": special["bos_token_id"], "sep_token_id": special["eos_token_id"]}
    options = {"global_attn_every_n_layers": 1, "classifier_pooling": "mean"}
    options |= {"attention_dropout": 0.0, "mlp_dropout": drop, "embedding_dropout": drop}
    return ModernBertConfig(**dials.shape(), intermediate_size=inner, **options, **special)


def gpt2(dials: Dials) -> Any:
    """Radford et al., "GPT-2", 2019: causal, absolute positions."""
    from transformers import GPT2Config

    layers, width, heads, inner = SIZES[dials.size]
    sizes = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_inner": inner}
    sizes |= {"vocab_size": dials.vocabulary, "n_positions": dials.positions}
    drops = {"resid_pdrop": dials.dropout, "embd_pdrop": dials.dropout, "attn_pdrop": 0.0}
    return GPT2Config(**sizes, **drops, use_cache=False, **dials.ids())


def llama(dials: Dials) -> Any:
    """Touvron et al., "LLaMA", 2023: causal, rotary positions, gated feed-forward, RMS norm, no dropout."""
    from transformers import LlamaConfig

    inner, options = 2 * SIZES[dials.size][3] // 3, {"tie_word_embeddings": True, "use_cache": False}
    return LlamaConfig(**dials.shape(), intermediate_size=inner, **options, **dials.ids())


def static(dials: Dials) -> Any:
    """Static word embeddings: no attention, no positions; see `models.text.static`."""
    from components.lib.models.text.static import StaticEmbeddingsConfig

    width, ignored = STATIC_WIDTHS[dials.size], sorted(set(dials.special.values()))
    sizes = {"vocab_size": dials.vocabulary, "max_position_embeddings": dials.positions}
    sizes |= {"hidden_size": width, "num_hidden_layers": dials.depth}
    return StaticEmbeddingsConfig(**sizes, ignored_ids=ignored)


ARCHITECTURES: dict[str, Callable[[Dials], Any]] = {
    "bert": bert,
    "modernbert": modernbert,
    "gpt2": gpt2,
    "llama": llama,
    "static": static,
}
CAUSAL = ("gpt2", "llama", "qwen2", "qwen3")  # model types with causal attention
