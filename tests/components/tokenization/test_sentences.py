"""Where sentences and words begin among the tokens of a corpus."""

import itertools

import numpy as np
import pytest

from components.lib.core.errors import ConfigErrors
from components.lib.modalities.text.tokens import TokenShards, initial, load
from components.tokenization.config import configured
from tests.made.corpora import corpus, scripts, tokens


def plain(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    ("kind", "sentences", "gap"),
    [("bpe", "en", " "), ("wordpiece", "hi", "\n\n"), ("unigram", "lines", "\n"), ("bpe", "", " ")],
)
def test_a_sentence_begins_at_the_token_of_its_first_character(tmp_path, store, kind, sentences, gap):
    """Across shards; the ids are those of a corpus of which nobody asked."""
    parts = [f"Now {part}".replace(" a.", " fox.") for part in scripts(120)]  # "a." is an abbreviation
    parts[1::3] = [f"  {part}" for part in parts[1::3]]
    texts = [gap.join(group) for group in zip(*[iter(parts)] * 4, strict=True)]
    source = corpus(store, texts, texts[:3])
    options = {"kind": kind, "vocabulary_size": 1200, "shard_tokens": 700}
    _, made = tokens(tmp_path, source, **options, sentences=sentences)
    _, usual = tokens(tmp_path, source, **options)
    digests = [
        {file.name: file.sha256 for file in one.files if file.name.endswith(".bin")} for one in (made, usual)
    ]
    assert digests[0] == digests[1] and len(digests[0]) > 3
    assert (made.key == usual.key) == (not sentences)
    shards = TokenShards(store, made, "train")
    if not sentences:
        assert shards.sentences.tolist() == shards.starts[:-1].tolist()
        return
    flat, _ = shards.gather(np.arange(len(shards)), np.zeros_like(shards.lengths), shards.lengths)
    tokenizer = load(store.open_folder(made, "tokenizer/"))
    bounds = [*shards.sentences.tolist(), len(flat)]
    found = [plain(tokenizer.decode(flat[low:high].tolist())) for low, high in itertools.pairwise(bounds)]
    assert found == [plain(part) for part in parts]


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram", "word"])
def test_which_tokens_begin_words(tmp_path, store, kind):
    texts = [text.rstrip(".").replace("'", "") for text in scripts(120)[::10]]
    source = corpus(store, texts * 4)
    _, made = tokens(tmp_path, source, kind=kind, vocabulary_size=300 if kind == "bpe" else 400)
    folder = store.open_folder(made, "tokenizer/")
    inside, begins, tokenizer = 0, initial(folder, made.facts["vocab_size"]), load(folder)
    for text in texts:
        words = text.replace("3.14", "pi").split()
        ids = tokenizer.encode(" " + " ".join(words), add_special_tokens=False).ids
        if kind == "word":
            assert begins[ids].all()
        else:
            assert begins[ids].sum() == len(words)
            inside += len(ids) - len(words)
    assert bool(inside) == (kind != "word")


@pytest.mark.parametrize("sentences", ["english", "EN", "line"])
def test_what_is_no_language_is_refused(sentences):
    with pytest.raises(ConfigErrors, match="sentences"):
        configured({"modality": "text", "sentences": sentences})
