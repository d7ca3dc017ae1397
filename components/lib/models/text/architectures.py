"""Transformer architectures by a few dials, built by `transformers` with random weights.

Sizes up to `medium` are Google's BERT miniatures (Turc et al., 2019); `nano` and `micro` are for CPUs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# name: (layers, width, heads, width of the feed-forward)
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


@dataclass(frozen=True)
class Dials:
    """What a trunk is built from.

    Attributes:
        positions: longest input, in tokens.
        special: ids by name: pad, unk, bos, eos, mask.
        dropout: of hidden states and attention, while training.
    """

    size: str
    vocabulary: int
    positions: int
    special: dict[str, int]
    dropout: float = 0.0

    def ids(self) -> dict[str, int]:
        """The special ids under the names of `transformers`."""
        names = {"pad": "pad_token_id", "bos": "bos_token_id", "eos": "eos_token_id"}
        return {names[name]: value for name, value in self.special.items() if name in names}


def bert(dials: Dials) -> Any:
    """Devlin et al., "BERT", 2019: absolute positions, post-norm, pooled by a layer on the first token."""
    from transformers import BertConfig

    layers, width, heads, inner = SIZES[dials.size]
    return BertConfig(
        vocab_size=dials.vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=inner, max_position_embeddings=dials.positions,
        hidden_dropout_prob=dials.dropout, attention_probs_dropout_prob=dials.dropout,
        pad_token_id=dials.special["pad"],
    )  # fmt: skip


def modernbert(dials: Dials) -> Any:
    """Warner et al., "ModernBERT", 2024: rotary positions, gated feed-forward, pooled by the mean.

    Every layer attends globally: the local layers of the original pay off only beyond 128 tokens.
    """
    from transformers import ModernBertConfig

    layers, width, heads, inner = SIZES[dials.size]
    special = dials.ids()
    return ModernBertConfig(
        vocab_size=dials.vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=2 * inner // 3, max_position_embeddings=dials.positions,
        global_attn_every_n_layers=1, classifier_pooling="mean",
        attention_dropout=dials.dropout, mlp_dropout=dials.dropout, embedding_dropout=dials.dropout,
        **special, cls_token_id=special["bos_token_id"], sep_token_id=special["eos_token_id"],
    )  # fmt: skip


def gpt2(dials: Dials) -> Any:
    """Radford et al., "GPT-2", 2019: causal, absolute positions."""
    from transformers import GPT2Config

    layers, width, heads, inner = SIZES[dials.size]
    return GPT2Config(
        vocab_size=dials.vocabulary, n_embd=width, n_layer=layers, n_head=heads, n_inner=inner,
        n_positions=dials.positions, resid_pdrop=dials.dropout, embd_pdrop=dials.dropout,
        attn_pdrop=dials.dropout, use_cache=False, **dials.ids(),
    )  # fmt: skip


def llama(dials: Dials) -> Any:
    """Touvron et al., "LLaMA", 2023: causal, rotary positions, gated feed-forward, RMS norm."""
    from transformers import LlamaConfig

    layers, width, heads, inner = SIZES[dials.size]
    return LlamaConfig(
        vocab_size=dials.vocabulary, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=2 * inner // 3, max_position_embeddings=dials.positions,
        attention_dropout=dials.dropout, tie_word_embeddings=True, use_cache=False, **dials.ids(),
    )  # fmt: skip


ARCHITECTURES: dict[str, Callable[[Dials], Any]] = {
    "bert": bert,
    "modernbert": modernbert,
    "gpt2": gpt2,
    "llama": llama,
}
CAUSAL = ("gpt2", "llama")  # model types whose tokens see only what came before
