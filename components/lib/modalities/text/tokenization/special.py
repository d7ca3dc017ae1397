"""Special tokens: one convention for every tokenizer, and none of them can be written by a user's text.

A single text becomes bos, tokens, eos. Ids 0 to 4 of a trained tokenizer are `NAMES`.
"""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, processors

NAMES = {"pad": "[PAD]", "unk": "[UNK]", "bos": "[CLS]", "eos": "[SEP]", "mask": "[MASK]"}


def added(text: str) -> AddedToken:
    """A special token as it is put into a tokenizer."""
    return AddedToken(text, special=True, normalized=False)


def frame(tokenizer: Tokenizer, bos: str, eos: str) -> None:
    """Makes `add_special_tokens=True` put bos before and eos behind a text, and between two."""
    ids = [(token, tokenizer.token_to_id(token)) for token in dict.fromkeys((bos, eos))]
    pieces = {"single": f"{bos} $A {eos}", "pair": f"{bos} $A {eos} $B:1 {eos}:1"}
    tokenizer.post_processor = processors.TemplateProcessing(**pieces, special_tokens=ids)
