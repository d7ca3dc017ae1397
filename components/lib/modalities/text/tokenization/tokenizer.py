"""Tokenizers with special tokens of one convention, in the folder that `transformers` loads them from.

A single text becomes bos, tokens, eos, unless the tokenizer is that of published weights. No text can spell
a special token. Ids 0 to 4 of a trained tokenizer are `NAMES`.
"""

# ruff: noqa: RUF001
from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer, processors

from components.lib.storage.store import Draft

NAMES = {"pad": "[PAD]", "unk": "[UNK]", "bos": "[CLS]", "eos": "[SEP]", "mask": "[MASK]"}
UNLIMITED = 10**30  # as `transformers` writes it: how long an input may be is the trunk's business
ROLES = {"pad": ("pad",), "unk": ("unk",), "bos": ("bos", "cls"), "eos": ("eos", "sep"), "mask": ("mask",)}
# Texts whose ids are pinned: where libraries have been seen to change how they load a tokenizer.
PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    "  two spaces,\ta tab,\n\na blank line  ",
    "don't re-encode it's 3.14159 x 10^-7 = $1,234.56 (100%)",
    "https://example.org/a_b-c?d=e&f=%20#g someone@example.org",
    "[CLS] a [MASK] b [SEP] [PAD] [UNK] <s> </s> <mask> <pad> <unk> <|endoftext|>",
    "naïve café Straße İstanbul ﬁne e\u0301",
    "Съешь же ещё этих мягких французских булок",
    "Ο ταχύς δρόμος",
    "日本語のテキストと漢字、中文字符。한국어 문장",
    "हिन्दी में एक वाक्य। ภาษาไทยไม่มีช่องว่าง",
    "نص عربي قصير שלום עולם",
    "👩‍👩‍👧 🎉🏽 ∑∫≠ — “quotes” …",
    "def f(x):\n    return {k: v**2 for k, v in x.items() if k != '_'}\n",
    "a" * 80 + "antidisestablishmentarianism",
    "\u200b\ufeff\u00a0\u3000",
    "",
)


@dataclass(frozen=True)
class FramedTokenizer:
    """A tokenizer that frames a text with bos and eos, and whose special tokens no text can spell.

    Attributes:
        names: role (pad, unk, bos, eos, mask) -> token.
        added: the tokens that a given tokenizer lacked.
    """

    tokenizer: Tokenizer
    names: dict[str, str]
    added: list[str] = field(default_factory=list)

    @property
    def special(self) -> dict[str, int]:
        """Role -> id."""
        vocabulary = self.tokenizer.get_vocab(with_added_tokens=True)
        return {role: vocabulary[name] for role, name in self.names.items()}

    @property
    def frame(self) -> tuple[list[int], list[int]]:
        """The ids before and behind a text, of the first probe that is not dropped whole."""
        pairs = (
            [self.tokenizer.encode(text, add_special_tokens=on).ids for on in (False, True)]
            for text in PROBES
        )
        bare, framed = next(pair for pair in pairs if pair[0])
        start = next(i for i in range(len(framed)) if framed[i : i + len(bare)] == bare)
        return framed[:start], framed[start + len(bare) :]

    @property
    def is_usual(self) -> bool:
        """Whether the frame is bos and eos."""
        return self.frame == ([self.special["bos"]], [self.special["eos"]])

    @property
    def size(self) -> int:
        """One more than the largest id: rows of an embedding."""
        return max(self.tokenizer.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type that holds every id."""
        return np.dtype(np.uint16 if self.size <= 65_535 else np.uint32)

    def save(self, draft: Draft) -> None:
        """Writes the folder `tokenizer/`."""
        roles = ((role, name) for role, names in ROLES.items() if role in self.names for name in names)
        tokens = {f"{name}_token": self.names[role] for role, name in roles}
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": UNLIMITED,
            "clean_up_tokenization_spaces": False,
            "split_special_tokens": True,  # a special token in a user's text stays text
            **tokens,
        }
        draft.write("tokenizer/tokenizer.json", self.tokenizer.to_str(pretty=True))
        draft.write("tokenizer/tokenizer_config.json", _json(config))
        draft.write("tokenizer/special_tokens_map.json", _json(tokens))


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def added(text: str) -> AddedToken:
    """A special token as it is put into a tokenizer."""
    return AddedToken(text, special=True, normalized=False)


def frame(tokenizer: Tokenizer, bos: str, eos: str) -> None:
    """Makes `add_special_tokens=True` put bos before and eos behind a text, and between two."""
    ids = [(token, tokenizer.token_to_id(token)) for token in dict.fromkeys((bos, eos))]
    pieces = {"single": f"{bos} $A {eos}", "pair": f"{bos} $A {eos} $B:1 {eos}:1"}
    tokenizer.post_processor = processors.TemplateProcessing(**pieces, special_tokens=ids)
