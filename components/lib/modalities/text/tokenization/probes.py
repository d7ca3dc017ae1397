# ruff: noqa: RUF001
"""Texts whose ids are pinned: where libraries have been seen to change how they load a tokenizer."""

from __future__ import annotations

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
