import hashlib
import os
import subprocess
import sys

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from tokenizers import Tokenizer

from components.lib.core.settings import from_dict
from components.lib.modalities.text.settings import Tokenization
from components.lib.modalities.text.tokenization import training
from components.lib.modalities.text.tokenization.tokenizer import NAMES, PROBES
from tests.made.corpora import SCRIPTS, scripts

KINDS = ("bpe", "wordpiece", "unigram")


def trained(kind: str, texts: list[str], **settings: object) -> Tokenizer:
    config = from_dict(Tokenization, {"kind": kind, "vocabulary_size": 1200, **settings})
    return training.train(config, lambda: iter([texts])).tokenizer


def ids(tokenizer: Tokenizer, text: str, framed: bool = False) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=framed).ids


@pytest.mark.parametrize("kind", [*KINDS, "word"])
def test_the_same_texts_give_the_same_file_in_any_process(kind):
    """The library's trainers iterate over hash maps with random seeds."""
    texts = scripts(300) + list(PROBES)
    found = [trained(kind, texts, vocabulary_size=1500).to_str() for _ in range(3)]
    code = (
        "import sys; from tests.components.tokenization.test_training import *;"
        f"text = trained({kind!r}, scripts(300) + list(PROBES), vocabulary_size=1500).to_str();"
        "print(hashlib.sha256(text.encode()).hexdigest())"
    )
    environment = {**os.environ, "TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": "2"}
    process = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    digests = {hashlib.sha256(text.encode()).hexdigest() for text in found}
    assert digests == {process.stdout.strip()}


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_comes_back_from_its_ids(kind):
    tokenizer = trained(kind, scripts())
    for text in SCRIPTS.values():
        back = tokenizer.decode(ids(tokenizer, text))
        if kind == "wordpiece":  # white space around punctuation and Chinese characters is not in its ids
            back, text = back.replace(" ", ""), text.replace(" ", "")
        assert back == text


@pytest.mark.parametrize("text", [*PROBES, "\x00\x01", "\U0010ffff", "\r\n \r", "  "])
def test_bytes_lose_nothing_whatever_they_were_trained_on(text):
    tokenizer = trained("bpe", ["only ascii, only once"])
    assert tokenizer.decode(ids(tokenizer, text)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_in_a_text_stay_text(kind):
    hostile = [f"{name} a{name}b {name}{name} {name.lower()}" for name in NAMES.values()]
    tokenizer = trained(kind, scripts() + hostile * 50)
    forbidden = {tokenizer.token_to_id(name) for name in NAMES.values()}
    for text in hostile:
        assert not forbidden & set(ids(tokenizer, text))
        assert "".join(tokenizer.decode(ids(tokenizer, text)).split()) == "".join(text.split())


@pytest.mark.parametrize("kind", [*KINDS, "word"])
def test_special_tokens_have_the_same_ids_and_frame_a_text(kind):
    tokenizer = trained(kind, scripts())
    assert [tokenizer.token_to_id(name) for name in NAMES.values()] == [0, 1, 2, 3, 4]
    assert ids(tokenizer, "fox", framed=True) == [2, *ids(tokenizer, "fox"), 3]
    assert ids(tokenizer, "", framed=True) == [2, 3]


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_what_was_never_seen_is_unknown_and_not_dropped(kind):
    tokenizer = trained(kind, ["one two three"] * 5)
    assert ids(tokenizer, "Ж")[-1] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_corpus_gives_a_small_vocabulary(kind):
    tokenizer = trained(kind, ["a b c a b c"] * 3, vocabulary_size=50_000)
    assert tokenizer.get_vocab_size() < 300
    assert 1 not in ids(tokenizer, "a b c")


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_more_characters_than_room_leave_the_rare_ones_unknown(kind):
    han = "".join(chr(0x4E00 + number) for number in range(2000))
    tokenizer = trained(kind, [han] * 3 + ["丁七万"] * 10 + scripts())
    assert tokenizer.get_vocab_size() <= 1200
    assert 1 not in ids(tokenizer, "丁七万")
    assert 1 in ids(tokenizer, han)
    assert sum(len(token.removeprefix("##")) == 1 for token in tokenizer.get_vocab()) <= (1200 - 5) // 2 + 1


@pytest.mark.parametrize("kind", KINDS)
def test_lower_case_is_a_dial(kind):
    texts = [*scripts(), *(text.upper() for text in scripts())]
    kept, lowered = (trained(kind, texts, vocabulary_size=3000, lowercase=dial) for dial in (False, True))
    assert ids(kept, "FOX") != ids(kept, "fox")
    assert ids(lowered, "FOX NAÏVE ЧАЮ") == ids(lowered, "fox naïve чаю")
    assert 1 not in ids(lowered, "FOX NAÏVE ЧАЮ")


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_a_character_that_is_too_rare_gets_no_id(kind):
    texts = [*scripts(), "Ω Ω Ω"]
    assert 1 not in ids(trained(kind, texts, min_frequency=3), "Ω")
    assert 1 in ids(trained(kind, texts, min_frequency=4), "Ω")


def test_lower_case_wordpiece_keeps_accents_and_vowel_signs():
    tokenizer = trained("wordpiece", scripts(), lowercase=True)
    for text in ("cafés", "हिन्दी में"):
        assert tokenizer.decode(ids(tokenizer, text)) == text


def test_words_are_those_of_scikit_learn_in_enough_documents():
    """Those of most documents first; how often a word stands in one of them does not count."""
    texts = ["Ox ox ox ox a b", "fox ox, fox-trot!", "fox's den 42", "den 42 [MASK] 日本語"]
    tokenizer = trained("word", texts, lowercase=True, min_frequency=2)
    vocabulary = CountVectorizer(min_df=2).fit(texts).vocabulary_
    assert set(tokenizer.get_vocab()) == {*NAMES.values(), *vocabulary} and len(vocabulary) == 4
    found = tokenizer.encode("FOX, [MASK] a 42 - [SEP]", add_special_tokens=False).tokens
    assert found == ["fox", "[UNK]", "42", "[UNK]"]
    few = trained("word", [*texts, "den"], vocabulary_size=300, min_frequency=1)
    assert few.token_to_id("den") == 5
