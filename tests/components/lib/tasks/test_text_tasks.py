"""Tasks on texts against scikit-learn and SciPy: regression, pairs, several labels, rankings."""

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn import metrics as reference

from components.lib.core.errors import DataError
from components.lib.data.classes import Unlabelled, number
from components.lib.modalities.text.labelled import Reader
from components.lib.modalities.text.retrieval import rankings, relevant
from components.lib.modalities.text.text_pairs import PairFrame, encoded_pairs
from components.lib.tasks import Reading, multi_label_classification, regression, sentence_similarity
from tests import made

RANDOM = np.random.default_rng(0)


def test_numbers_are_scored_as_scipy_and_scikit_learn_do():
    label = RANDOM.integers(0, 6, 300).astype(float)  # with ties
    prediction = np.round(label + RANDOM.normal(0, 2, 300), 1)
    columns, once = {"label": label, "prediction": prediction}, np.ones((1, 300))
    found = {**sentence_similarity.metrics(columns, once, []), **regression.metrics(columns, once, [])}
    assert found["spearman"][0] == pytest.approx(spearmanr(label, prediction).statistic)
    assert found["pearson"][0] == pytest.approx(pearsonr(label, prediction).statistic)
    assert found["rmse"][0] == pytest.approx(reference.root_mean_squared_error(label, prediction))
    assert found["mae"][0] == pytest.approx(reference.mean_absolute_error(label, prediction))
    assert found["r2"][0] == pytest.approx(reference.r2_score(label, prediction))
    flat = regression.metrics({**columns, "prediction": np.full(300, 2.5)}, once, [])
    assert flat["spearman"][0] == 0.0
    assert np.isnan(regression.metrics({**columns, "label": np.full(300, 2.5)}, once, [])["spearman"][0])


@pytest.mark.parametrize(
    ("value", "found"), [(3, 3.0), ("-1.5e2", -150.0), (np.float32(0.5), 0.5), (" 7 ", 7.0)]
)
def test_a_label_that_is_a_number(value, found):
    assert number(value) == found


@pytest.mark.parametrize("value", [True, "x", [1], b"1", "inf", 10**400])
def test_a_label_that_is_none(value):
    with pytest.raises(DataError):
        number(value)
    for absent in (None, float("nan"), " ", "NA"):
        with pytest.raises(Unlabelled):
            number(absent, ("NA",))


def test_several_labels_are_scored_as_scikit_learn_does():
    names = list("abcd")
    real, chances = RANDOM.random((200, 4)) < 0.3, RANDOM.random((200, 4))
    columns = multi_label_classification._columns(real.astype(np.int64), chances, names)
    found = multi_label_classification.metrics(columns, np.ones((1, 200)), names)
    for name in ("micro", "macro"):
        expected = reference.f1_score(real, chances >= 0.5, average=name)
        assert found[f"{name}_f1"][0] == pytest.approx(expected)
    assert found["exact_match"][0] == pytest.approx(reference.accuracy_score(real, chances >= 0.5))


@pytest.mark.parametrize(
    ("value", "separator", "found"),
    [
        (["b", "a", "b"], "", ["a", "b"]),
        ([], "", []),
        ("a;b", "", ["a;b"]),
        ("a; b;", ";", ["a", "b"]),
        ({"a": 1, "b": False, "c": True}, "", ["a", "c"]),
        (3, "", ["3"]),
    ],
)
def test_how_several_labels_are_written(value, separator, found):
    options = multi_label_classification.Config(separator)
    values = {"text": "x", "labels": value}
    assert multi_label_classification.parse(values, Reading(options=options))[1] == found


def test_rankings_are_scikit_learns_ndcg():
    scores = RANDOM.normal(size=(40, 30))
    grades = [{int(p): float(RANDOM.integers(0, 4)) for p in RANDOM.choice(30, 5, False)} for _ in range(40)]
    for each in grades:
        each[next(iter(each))] = 2.0
    found = rankings(scores, grades)
    for row, each in enumerate(grades):
        gains = np.zeros(30)
        gains[list(each)] = list(each.values())
        expected = reference.ndcg_score(gains[None], scores[row][None], k=10)
        assert found["ndcg"][row] == pytest.approx(expected)
        order = np.argsort(-scores[row])
        first = 1 + int(np.flatnonzero(gains[order] > 0)[0])
        assert found["first"][row] == first and found["reciprocal"][row] == (1 / first if first <= 10 else 0)
        assert found["recall"][row] == pytest.approx((gains[order][:10] > 0).sum() / (gains > 0).sum())


def test_how_documents_are_given():
    one = [{"text": "a", "relevance": 1.0}]
    assert relevant("a") == relevant(["a", " a "]) == relevant({"text": "a"}) == one
    assert relevant({"text": ["a", "b"], "relevance": [1, 0]}) == [*one, {"text": "b", "relevance": 0.0}]
    for odd in ([], 3, [""], {"text": ["a"], "relevance": [0]}, {"text": ["a"], "relevance": [1, 2]}, [None]):
        with pytest.raises(DataError):
            relevant(odd)


@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_pairs_are_framed_and_the_longer_one_is_cut(architecture):
    reader = Reader.open(made.trunk_folder("text", architecture))
    frame = PairFrame.of(reader.tokenizer)
    bos, sep = reader.tokenizer.cls_token_id, reader.tokenizer.sep_token_id
    assert (frame.before, frame.between, frame.behind) == ([bos], [sep], [sep])
    reader.length = 16
    long, short = "planet comet orbit " * 9, "soil"
    pairs = encoded_pairs(reader, [long, short, short], [short, long, short], [0, 1, 0])
    for row, (ids, types) in enumerate(zip(pairs.ids, pairs.types, strict=True)):
        at = ids.index(sep, 1)
        assert len(ids) == len(types) <= 16 and ids[0] == bos and ids[-1] == sep
        assert types == [0] * (at + 1) + [1] * (len(ids) - at - 1)
        for shown, text in (
            (ids[1:at], long if row == 0 else short),
            (ids[at + 1 : -1], long if row == 1 else short),
        ):
            whole = reader.tokenizer(text, add_special_tokens=False)["input_ids"]
            assert shown == whole[: len(shown)] and (text is long or shown == whole)
    assert [len(ids) for ids in pairs.ids[:2]] == [16, 16] and list(pairs.cut) == [True, True, False]
