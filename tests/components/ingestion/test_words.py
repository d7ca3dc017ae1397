import random

import numpy as np
import pytest

from components.lib.data import deduplication
from components.lib.data.deduplication import rows_of_a_band
from components.lib.modalities.text import contamination
from components.lib.modalities.text.contamination import Index
from components.lib.modalities.text.ingestion import signatures, text_id
from components.lib.modalities.text.words import Vocabulary, ngrams, split
from tests.made.corpora import nonsense, words
from tests.made.near_copies import near_copies


def test_words_of_scripts_with_and_without_spaces():
    assert split("two words,  here") == ["two", "words,", "here"]
    assert split("\u5929\u6c14 OK\u597d") == ["\u5929", "\u6c14", "OK", "\u597d"]
    assert split("\ud55c\uad6d\uc5b4 \ubb38\uc7a5") == ["\ud55c\uad6d\uc5b4", "\ubb38\uc7a5"]


def test_fingerprints_ignore_case_and_punctuation_at_the_edges():
    batch = Vocabulary().batch(['"Hello," World!', "hello world", "hello-world"])
    first, second, third = (batch.fingerprints[a:b] for a, b in ((0, 2), (2, 4), (4, 5)))
    assert (first == second).all() and third[0] not in second
    assert batch.letters.all() and batch.lengths.tolist() == [8, 6, 5, 5, 11]


def test_a_vocabulary_gives_the_same_fingerprints_whatever_it_saw_before():
    one, two = Vocabulary(), Vocabulary()
    one.batch(nonsense(20, "before"))
    given = nonsense(5, "now")
    assert (one.batch(given).fingerprints == two.batch(given).fingerprints).all()


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 13])
def test_runs_stay_inside_documents(n):
    draw = random.Random(n)
    given = [" ".join(words(draw, size)) for size in (0, 1, 4, 5, 12, 13, 40)]
    batch = Vocabulary().batch(given)
    flat, offsets = batch.runs(n)
    assert np.diff(offsets).tolist() == [max(len(text.split()) - n + 1, 0) for text in given]
    tuples = [tuple(text.split()[i : i + n]) for text in given for i in range(len(text.split()) - n + 1)]
    assert len(set(tuples)) == len(np.unique(flat)) and len(tuples) == len(flat)
    for index, text in enumerate(given):
        document = batch.document(index, text)
        assert (document.runs(n) == flat[offsets[index] : offsets[index + 1]]).all()


def test_equal_runs_have_equal_fingerprints_wherever_they_stand():
    values = np.arange(50, dtype=np.uint64)
    values[30:40] = values[5:15]
    found = ngrams(values, 10)
    assert found[30] == found[5] and len(np.unique(found)) == len(found) - 1


def shingles(text: str) -> set[tuple[str, ...]]:
    return {tuple(text.split()[i : i + 5]) for i in range(len(text.split()) - 4)}


def test_signatures_estimate_jaccard_similarity():
    draw = random.Random(1)
    given = []
    for kept in (1.0, 0.95, 0.8, 0.5, 0.0):
        left = words(draw, 400)
        cut = int(400 * kept)
        given += [" ".join(left), " ".join(left[:cut] + words(draw, 400 - cut))]
    found = signatures(Vocabulary().batch(given))
    for i in range(0, len(given), 2):
        a, b = shingles(given[i]), shingles(given[i + 1])
        estimate = (found[i] == found[i + 1]).mean()
        assert abs(estimate - len(a & b) / len(a | b)) < 0.15
    short = signatures(Vocabulary().batch(["a b", "a b", "b a c", "", "x"]))
    assert (short[0] == short[1]).all() and (short[0] != short[4]).any() and len(short) == 5


LIKENESS = deduplication.likeness(128, 0.8)


@pytest.mark.parametrize("memory", [1 << 12, 1 << 16, 1 << 28])
def test_near_copies_are_those_of_a_comparison_of_all_pairs(memory):
    """However many files and chunks a bucket is dealt to."""
    rng = np.random.default_rng(3)
    base = rng.integers(0, 1 << 16, (60, 128)).astype(np.uint16)
    rows = [base, *[base[:1]] * 70]  # many equal ones are one bucket that no partition divides
    for changed in (4, 10, 18, 30, 40, 60):
        copy = base[:20].copy()
        for row in copy:
            row[rng.choice(128, changed, replace=False)] += 1
        rows.append(copy)
    found = np.concatenate(rows)
    ids = rng.permutation(len(found)).astype(np.uint64)[:, None].repeat(2, axis=1)
    alike = (found[:, None] == found[None]).mean(-1) >= 0.8
    groups = list(range(len(found)))
    for a, b in zip(*np.nonzero(alike), strict=True):
        old, new = groups[a], groups[b]
        groups = [new if group == old else group for group in groups]
    smallest = {group: min(ids[i, 0] for i in range(len(found)) if groups[i] == group) for group in groups}
    expected = np.array([ids[i, 0] != smallest[groups[i]] for i in range(len(found))])
    assert (near_copies(ids, found, LIKENESS, memory) == expected).all() and expected.sum() > 20


@pytest.mark.parametrize("threshold", [0.5, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_banding_overlooks_few_pairs(threshold):
    rows = rows_of_a_band(128, threshold)
    assert (1 - threshold**rows) ** (128 // rows) <= 0.01


def test_near_copies_of_few_documents():
    ids = np.array([[2, 0], [1, 0]], np.uint64)
    same = np.zeros((2, 128), np.uint16)
    assert near_copies(ids, same, LIKENESS).tolist() == [True, False]
    assert near_copies(ids[:1], same[:1], LIKENESS).tolist() == [False]
    assert near_copies(ids[:0], same[:0], LIKENESS).tolist() == []


def reference(text: str, evaluation: list[str], n: int, least: float) -> bool:
    """The definition, spelled out with sets of tuples."""

    def runs(one: str) -> list[tuple[str, ...]]:
        return [tuple(one.split()[i : i + n]) for i in range(len(one.split()) - n + 1)]

    own, known = runs(text), {run for one in evaluation for run in runs(one)}
    if own and sum(run in known for run in own) >= least * len(own):
        return True
    return any(
        runs(one) and len(set(own) & set(runs(one))) >= least * len(set(runs(one))) for one in evaluation
    )


def test_overlaps_are_those_of_the_definition(tmp_path):
    draw = random.Random(7)
    evaluation = [" ".join(words(draw, draw.randint(1, 60))) for _ in range(40)]
    given = []
    for one in evaluation:
        taken = one.split()[: draw.randint(0, 60)]
        given.append(" ".join(words(draw, draw.randint(0, 80)) + taken + words(draw, draw.randint(0, 80))))
    vocabulary = Vocabulary()
    batches = [vocabulary.batch(evaluation[:15]), vocabulary.batch(evaluation[15:])]
    contamination.save(tmp_path, [text_id(one) for one in evaluation], batches, 5)
    index = Index.open(tmp_path)
    for least in (0.1, 0.5, 0.9):
        found = index.overlaps(*Vocabulary().batch(given).runs(5), least)
        expected = [reference(text, evaluation, 5, least) for text in given]
        assert found.astype(bool).tolist() == expected and 0 < sum(expected) < len(given)


def test_an_empty_index_overlaps_with_nothing(tmp_path):
    contamination.save(tmp_path, [], [Vocabulary().batch([])], 13)
    assert Index.open(tmp_path).overlaps(*Vocabulary().batch(nonsense(3, "a")).runs(13), 0.5).tolist() == [
        0,
        0,
        0,
    ]
