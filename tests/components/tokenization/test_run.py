import json
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from components.lib.modalities.text.tokens import TokenShards, check_probes, load
from components.lib.storage.store import Store
from tests.made.corpora import corpus, scripts, tokens, word_level

KINDS = ("bpe", "wordpiece", "unigram")


@pytest.mark.parametrize("kind", KINDS)
def test_shards_hold_the_ids_of_the_corpus_in_order(tmp_path, store, kind):
    train, validation = scripts(120), scripts(30, seed=1)
    source = corpus(store, train, validation)
    _, made = tokens(tmp_path, source, kind=kind, vocabulary_size=1200, shard_tokens=700)
    tokenizer = load(store.open_folder(made, "tokenizer/"))
    for split, texts in (("train", train), ("validation", validation)):
        expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        bins = made.names(f"{split}-", ".bin")
        assert bins == [f"{split}-{number:05d}.bin" for number in range(len(bins))]
        assert len(bins) > 1
        found = []
        for name in bins:
            ids = np.fromfile(store.open(made, name), "<u2")
            offsets = np.load(store.open(made, name.replace(".bin", ".offsets.npy")))
            assert (offsets.dtype, offsets[0], offsets[-1]) == (np.int64, 0, len(ids))
            assert made.file(name).rows == len(offsets) - 1
            assert len(ids) - (offsets[-1] - offsets[-2]) < 700  # closed by the document that filled it
            found += [part.tolist() for part in np.split(ids, offsets[1:-1])]
        assert found == expected
        assert made.facts["documents"][split] == len(texts)
        assert made.facts["tokens"][split] == sum(map(len, expected))
    assert made.key.inputs == {"corpus": source.reference}
    assert made.facts["vocab_size"] == len(tokenizer.get_vocab())


def test_the_output_depends_on_content_alone(tmp_path, store):
    """Not on threads, nor on how the corpus is cut into files."""
    digests = set()
    for workers, rows in ((1, 50), (3, 7), (2, 1000)):
        folder = tmp_path / f"{workers}"
        other = Store(str(folder / "store"))
        source = corpus(other, scripts(120), scripts(9), rows=rows)
        _, made = tokens(folder, source, workers=workers, shard_tokens=3000)
        digests.add(tuple((file.name, file.sha256) for file in made.files))
    assert len(digests) == 1


def test_a_second_run_reuses_and_other_threads_are_no_other_key(tmp_path, store, capsys):
    source = corpus(store, scripts(60))
    _, first = tokens(tmp_path, source)
    start = time.perf_counter()
    _, second = tokens(tmp_path, source, workers=2)
    assert time.perf_counter() - start < 1
    assert second == first
    assert "reused" in capsys.readouterr().out


def test_a_given_tokenizer_counts_by_its_content(tmp_path, store):
    words = sorted(set(" ".join(scripts(20)).replace(".", " . ").split()) | {"3", "14", "'", "don", "t"})
    source = corpus(store, scripts(20))
    one = word_level(tmp_path / "one.json", words)
    options = {"kind": "given", "unknown": 0.5}
    _, first = tokens(tmp_path, source, tokenizer=one, **options)
    (tmp_path / "sub").mkdir()
    two = word_level(tmp_path / "sub" / "two.json", words)
    _, second = tokens(tmp_path, source, tokenizer=two, vocabulary_size=5000, **options)
    assert second == first
    word_level(Path(two), words[::-1])
    _, third = tokens(tmp_path, source, tokenizer=two, **options)
    assert third.key != first.key
    assert first.facts["added"] == ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    check_probes(store.open_folder(first, "tokenizer/"), first.facts)


def test_documents_without_tokens_are_dropped_and_counted(tmp_path, store):
    texts = scripts(10)
    source = corpus(store, [texts[0], " ", *texts[1:], "\n\t"], ["  "])
    _, made = tokens(tmp_path, source, kind="wordpiece", vocabulary_size=1200, unknown=1)
    assert made.facts["dropped"] == {"train": 2, "validation": 1}
    assert made.facts["documents"] == {"train": 10, "validation": 0}
    assert made.names("validation-") == []
    assert len(TokenShards(store, made, "validation")) == 0


def test_the_trainer_sees_a_share_of_the_documents_chosen_by_hash(tmp_path, store):
    texts = [f"{number} {text}" for number, text in enumerate(scripts(2000))]
    size = sum(len(text.encode()) for text in texts)
    source = corpus(store, texts, rows=500)
    _, made = tokens(tmp_path, source, training_bytes=size // 4)
    seen = made.facts["trained_on"]
    assert 0.15 * size < seen["bytes"] < 0.35 * size
    assert made.facts["documents"]["train"] == 2000
    _, made = tokens(tmp_path, source, training_bytes=0)
    assert made.facts["trained_on"] == {"documents": 2000, "bytes": size}


@pytest.mark.parametrize(("size", "dtype"), [(65_530, "uint16"), (65_531, "uint32")])
def test_ids_are_as_wide_as_the_vocabulary(tmp_path, store, size, dtype):
    words = [f"w{number}" for number in range(size)]  # [UNK] and four special tokens are added
    path = word_level(tmp_path / "tokenizer.json", words)
    source = corpus(store, [f"w0 w{size - 1}"])
    _, made = tokens(tmp_path, source, kind="given", tokenizer=path)
    assert (made.facts["vocab_size"], made.facts["dtype"]) == (size + 5, dtype)
    shards = TokenShards(store, made, "train")
    assert shards.gather(np.array([0]), np.array([0]), np.array([2]))[0].tolist() == [1, size]


def test_a_hundred_thousand_tiny_documents(tmp_path, store):
    texts = [f"fox {number}" for number in range(100_000)]
    _, made = tokens(tmp_path, corpus(store, texts, rows=50_000))
    assert made.facts["documents"]["train"] == 100_000


def test_training_on_a_word_of_megabytes_ends(tmp_path, store):
    letters = np.random.default_rng(0).choice(list("abcdefgh"), 5_000_000)
    source = corpus(store, ["".join(letters), *scripts(5)])
    start = time.process_time()
    _, made = tokens(tmp_path, source, vocabulary_size=1000)
    assert time.process_time() - start < 30  # a guard: 16,000 merges in one word take hours
    assert made.facts["documents"]["train"] == 6


def test_everything_works_on_s3(tmp_path, s3):
    store = Store(f"{s3}/store", cache=tmp_path / "cache")
    texts = scripts(40)
    word_level(tmp_path / "tokenizer.json", sorted(set(" ".join(texts).split())))
    store.objects.write("given/tokenizer.json", (tmp_path / "tokenizer.json").read_bytes())
    source = corpus(store, texts, scripts(5))
    for settings in ({}, {"kind": "given", "tokenizer": f"{s3}/store/given/tokenizer.json", "unknown": 1}):
        _, made = tokens(tmp_path, source, store=f"{s3}/store", shard_tokens=500, **settings)
        shards = TokenShards(store, made, "train")
        tokenizer = load(store.open_folder(made, "tokenizer/"))
        flat, _ = shards.gather(np.arange(40), np.zeros(40, np.int64), shards.lengths)
        expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
        assert flat.tolist() == list(chain.from_iterable(expected))


@pytest.mark.parametrize(
    ("kind", "family"),
    [("bpe", None), ("unigram", "bert"), ("wordpiece", "modernbert"), ("bpe", "gpt2"), ("unigram", "llama")],
)
def test_transformers_loads_it_as_it_is_and_saves_it_so(tmp_path, store, kind, family):
    """Also beside the config of a model, whose family has had tokenizers of its own."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    _, made = tokens(tmp_path, corpus(store, scripts(60)), kind=kind, vocabulary_size=1200)
    folder = tmp_path / "model"
    folder.mkdir()
    for path in store.open_folder(made, "tokenizer/").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    if family:
        (folder / "config.json").write_text(json.dumps({"model_type": family}))
    loaded = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert isinstance(loaded, PreTrainedTokenizerFast)
    check_probes(loaded, made.facts)
    loaded.save_pretrained(tmp_path / "again")
    check_probes(AutoTokenizer.from_pretrained(tmp_path / "again", local_files_only=True), made.facts)
    special = made.facts["special"]
    assert (loaded.pad_token_id, loaded.unk_token_id, loaded.mask_token_id) == (0, 1, special["mask"])
    assert loaded.cls_token_id == loaded.bos_token_id == special["bos"]
    assert loaded.sep_token_id == loaded.eos_token_id == special["eos"]
    batch = loaded(["fox", "fox jumps over"], padding=True)
    assert batch["input_ids"][0][-1] == 0 and batch["attention_mask"][0][-1] == 0
