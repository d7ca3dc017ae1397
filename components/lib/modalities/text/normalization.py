"""Unicode normalization of texts: the same for the corpus, for labelled texts and where a model is served."""

from __future__ import annotations

import re
import unicodedata

# Controls but tab and newline, the byte order mark, non-characters and lone surrogates (from JSON escapes).
REMOVED = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x84\\x86-\\x9f\\ufeff\\ufffe\\uffff\\ud800-\\udfff]")
NEWLINES = re.compile("\\r\\n?|[\\x85\\u2028\\u2029]")


def normalised(text: str) -> str:
    r"""NFC, '\n' line ends, no control characters, no blanks at either end."""
    if "\r" in text or not text.isascii():
        text = NEWLINES.sub("\n", text)
        if not unicodedata.is_normalized("NFC", text):
            text = unicodedata.normalize("NFC", text)
    return REMOVED.sub("", text).strip()
