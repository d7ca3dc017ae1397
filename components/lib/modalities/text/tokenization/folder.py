"""A tokenizer with its special tokens, and the folder that `transformers` loads it from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from components.lib.modalities.text.tokenization import special
from components.lib.storage.store import Draft

UNLIMITED = 10**30  # as `transformers` writes it: how long an input may be is the trunk's business
ROLES = {"pad": ("pad",), "unk": ("unk",), "bos": ("bos", "cls"), "eos": ("eos", "sep"), "mask": ("mask",)}


@dataclass(frozen=True)
class Tokens:
    """A tokenizer that follows the convention of `special`.

    Attributes:
        names: role (pad, unk, bos, eos, mask) -> token.
        added: the tokens that a given tokenizer lacked.
    """

    tokenizer: Tokenizer
    names: dict[str, str]
    added: list[str] = field(default_factory=list)

    @classmethod
    def trained(cls, tokenizer: Tokenizer) -> Tokens:
        """A tokenizer of `training.train`."""
        tokenizer.encode_special_tokens = True
        return cls(tokenizer, special.NAMES)

    @property
    def special(self) -> dict[str, int]:
        """Role -> id."""
        vocabulary = self.tokenizer.get_vocab(with_added_tokens=True)
        return {role: vocabulary[name] for role, name in self.names.items()}

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
        tokens = {f"{name}_token": self.names[role] for role, names in ROLES.items() for name in names}
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
