from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from components.lib.config import from_dict
from components.tokenization import special, training
from components.tokenization.config import Config
from components.tokenization.folder import Tokens
from components.tokenization.probes import PROBES
from tests.components.tokenization.made import documents

KINDS = ("bpe", "wordpiece", "unigram")


def trained(kind: str, texts: list[str], **settings: object) -> Tokenizer:
    config = from_dict(Config, {"kind": kind, "vocabulary_size": 600, **settings})
    return Tokens.trained(training.train(config, lambda: iter([texts]))).tokenizer


def ids(tokenizer: Tokenizer, text: str, framed: bool = False) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=framed).ids


@pytest.mark.parametrize("text", [*PROBES, "\x00\x01", "\U0010ffff", "\r\n \r", "  "])
def test_bytes_lose_nothing_whatever_they_were_trained_on(text: str) -> None:
    tokenizer = trained("bpe", ["only ascii, only once"])
    assert tokenizer.decode(ids(tokenizer, text)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_in_a_text_stay_text(kind: str) -> None:
    hostile = [f"{name} a{name}b {name}{name} {name.lower()}" for name in special.NAMES.values()]
    tokenizer = trained(kind, documents() + hostile * 50)
    forbidden = {tokenizer.token_to_id(name) for name in special.NAMES.values()}
    for text in hostile:
        assert not forbidden & set(ids(tokenizer, text))
        assert "".join(tokenizer.decode(ids(tokenizer, text)).split()) == "".join(text.split())


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_have_the_same_ids_and_frame_a_text(kind: str) -> None:
    tokenizer = trained(kind, documents())
    assert [tokenizer.token_to_id(name) for name in special.NAMES.values()] == [0, 1, 2, 3, 4]
    assert ids(tokenizer, "fox", framed=True) == [2, *ids(tokenizer, "fox"), 3]
    assert ids(tokenizer, "", framed=True) == [2, 3]


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_what_was_never_seen_is_unknown_and_not_dropped(kind: str) -> None:
    tokenizer = trained(kind, ["one two three"] * 5)
    assert ids(tokenizer, "Ж")[-1] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_corpus_gives_a_small_vocabulary(kind: str) -> None:
    tokenizer = trained(kind, ["a b c a b c"] * 3, vocabulary_size=50_000)
    assert tokenizer.get_vocab_size() < 300
    assert 1 not in ids(tokenizer, "a b c")
