from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.lib.core.errors import IntegrityError, InternalError
from components.lib.modalities.text.tokens import TokenShards, check_probes, load
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.store import Store
from tests.made.corpora import corpus, scripts, tokens


def commit(store: Store, shards: list[list[list[int]]], dtype: str = "uint16", change: int = 0) -> Manifest:
    """Shards of documents of ids; `change` is added to each shard's last offset."""
    with store.draft(Key("tokenization", 1, {"shards": shards, "dtype": dtype, "change": change})) as draft:
        for number, texts in enumerate(shards):
            name = f"train-{number:05d}"
            np.array(list(chain.from_iterable(texts)), f"<{np.dtype(dtype).str[1:]}").tofile(
                draft.folder / f"{name}.bin"
            )
            offsets = np.cumsum([0, *map(len, texts)])
            offsets[-1] += change
            np.save(draft.folder / f"{name}.offsets.npy", offsets)
            draft.add(f"{name}.bin", len(texts))
            draft.add(f"{name}.offsets.npy", len(texts))
        draft.facts = {"dtype": dtype}
        return draft.commit()


windows = st.lists(
    st.lists(st.lists(st.integers(0, 65_535), min_size=1, max_size=9), min_size=1, max_size=4),
    min_size=1,
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(windows, st.data(), st.sampled_from(["uint16", "uint32"]))
def test_gather_reads_what_a_loop_over_documents_reads(tmp_path_factory, shards, data, dtype):
    store = Store(str(tmp_path_factory.mktemp("tokens")))
    made = TokenShards(store, commit(store, shards, dtype), "train")
    texts = list(chain.from_iterable(shards))
    picked = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=8))
    begins = [data.draw(st.integers(0, len(texts[i]))) for i in picked]
    sizes = [
        data.draw(st.integers(0, len(texts[i]) - begin)) for i, begin in zip(picked, begins, strict=True)
    ]
    arrays = (np.array(values, np.int64) for values in (picked, begins, sizes))
    flat, offsets = made.gather(*arrays)
    rows = [texts[i][b : b + n] for i, b, n in zip(picked, begins, sizes, strict=True)]
    assert flat.tolist() == list(chain.from_iterable(rows))
    assert flat.dtype == dtype
    assert offsets.tolist() == np.cumsum([0, *sizes]).tolist()
    assert len(made) == len(texts)
    assert made.lengths.tolist() == [len(text) for text in texts]
    assert made.starts.tolist() == np.cumsum([0, *map(len, texts)]).tolist()
    assert (made.lengths.dtype, made.starts.dtype, offsets.dtype) == (np.int64,) * 3


def test_windows_of_one_length_come_from_shards_that_are_shorter_and_longer(tmp_path):
    store = Store(str(tmp_path))
    made = TokenShards(store, commit(store, [[[1]], [[2, 3, 4], [5, 6, 7, 8]], [[9, 10, 11]]]), "train")
    flat, offsets = made.gather(np.array([3, 2, 1]), np.array([0, 1, 0]), np.array([3, 3, 3]))
    assert flat.tolist() == [9, 10, 11, 6, 7, 8, 2, 3, 4] and offsets.tolist() == [0, 3, 6, 9]


@pytest.mark.parametrize(("begin", "size"), [(0, 4), (2, 2), (-1, 1), (0, -1)])
def test_a_window_beyond_its_document_is_refused(tmp_path, begin, size):
    store = Store(str(tmp_path))
    made = TokenShards(store, commit(store, [[[1, 2, 3], [4, 5]]]), "train")
    with pytest.raises(InternalError, match="beyond its document"):
        made.gather(np.array([0]), np.array([begin]), np.array([size]))


@pytest.mark.parametrize("change", [-1, 1])
def test_offsets_that_do_not_fit_their_shard_are_refused(tmp_path, change):
    store = Store(str(tmp_path))
    with pytest.raises(IntegrityError, match="offsets"):
        TokenShards(store, commit(store, [[[1, 2, 3]]], change=change), "train")


def test_a_damaged_shard_is_refused(tmp_path):
    store = Store(str(tmp_path))
    manifest = commit(store, [[[1, 2, 3]]])
    path = Path(manifest.uri.removeprefix("file://")) / "train-00000.bin"
    path.write_bytes(b"\0" * path.stat().st_size)
    with pytest.raises(IntegrityError, match="not what was committed"):
        TokenShards(store, manifest, "train")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("tokenizer")
    store = Store(str(folder / "store"))
    _, made = tokens(folder, corpus(store, scripts()), kind="wordpiece", vocabulary_size=1200)
    return store.open_folder(made, "tokenizer/"), made.facts


def test_a_tokenizer_that_is_the_same_passes(made):
    from transformers import AutoTokenizer

    folder, facts = made
    check_probes(folder, facts)
    check_probes(load(folder), facts)
    check_probes(AutoTokenizer.from_pretrained(folder, local_files_only=True), facts)


@pytest.mark.parametrize("change", ["lower", "frame", "special"])
def test_a_tokenizer_that_differs_is_refused(made, change):
    """Each is something that libraries have done in silence: normalise otherwise, lose bos, read markup."""
    from tokenizers import normalizers, processors

    folder, facts = made
    tokenizer = load(folder)
    if change == "lower":
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    if change == "frame":
        ends = [("[SEP]", 3)]
        tokenizer.post_processor = processors.TemplateProcessing(single="$A [SEP]", special_tokens=ends)
    if change == "special":
        tokenizer.encode_special_tokens = False
    with pytest.raises(IntegrityError, match="not the one that made the tokens") as caught:
        check_probes(tokenizer, facts)
    assert "probe" in caught.value.where


def test_older_documents_stand_behind_the_new_ones(tmp_path):
    store = Store(str(tmp_path))
    new, older = commit(store, [[[1, 2], [3]]]), commit(store, [[[4, 5, 6]], [[7]]])
    made = TokenShards(store, new, "train", older)
    assert (len(made), made.fresh) == (4, 2)
    flat, offsets = made.gather(np.arange(4), np.zeros(4, np.int64), made.lengths)
    assert flat.tolist() == [1, 2, 3, 4, 5, 6, 7] and offsets.tolist() == [0, 2, 3, 6, 7]
