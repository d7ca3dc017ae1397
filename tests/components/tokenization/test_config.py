from __future__ import annotations

from typing import Any

import pytest

from components.lib.config import from_dict
from components.lib.errors import ConfigErrors
from components.tokenization.modalities.text import Config


@pytest.mark.parametrize(
    ("settings", "where", "says"),
    [
        ({"kind": "given"}, "tokenization.tokenizer", "no tokenizer is given"),
        ({"tokenizer": "a.json"}, "tokenization.tokenizer", "one is to be trained"),
        ({"kind": "given", "tokenizer": "a", "lowercase": True}, "tokenization.lowercase", "lower-case"),
        ({"kind": "word"}, "tokenization.kind", "unknown value"),
        ({"vocabulary_size": 260}, "tokenization.vocabulary_size", "out of range"),
        ({"vocabulary_size": 1e9}, "tokenization.vocabulary_size", "out of range"),
        ({"vocabulary_size": 1000.5}, "tokenization.vocabulary_size", "wrong type"),
        ({"unknown": 2}, "tokenization.unknown", "out of range"),
        ({"vocab_size": 1000}, "tokenization.vocab_size", "unknown setting"),
    ],
)
def test_a_contradiction_is_one_clear_error(settings: dict[str, Any], where: str, says: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        from_dict(Config, settings, "tokenization")
    (error,) = caught.value.errors
    assert (error.where, error.exit_code) == (where, 78)
    assert says in error.what
