"""The start `linear`: scikit-learn's own pipelines as reference, and no label that is held out is seen."""

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from components.lib.modalities.text.linear import NGrams, Semantics, WordShapes, bm25
from components.lib.models import linear
from components.lib.models.linear import Problem, folds, solve
from components.lib.starts.linear import Learner
from tests.made import corpora

RANDOM = np.random.default_rng(0)


def topics(count: int, seed: int) -> tuple[dict[str, list[str]], list[str]]:
    found = list(corpora.topics(count, seed=seed))
    return {"text": [text for _, text in found]}, [topic for topic, _ in found]


def dense(count: int, width: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy rows of so many classes; 0: of a number."""
    rows = RANDOM.normal(size=(count, width)) * RANDOM.uniform(0.2, 5, width)
    scores = rows @ RANDOM.normal(size=(width, max(1, classes))) + 4 * RANDOM.normal(
        size=(count, max(1, classes))
    )
    return rows, scores.argmax(axis=1) if classes else scores[:, 0]


@pytest.mark.parametrize(("count", "width"), [(40, 300), (120, 30)], ids=["few rows", "many rows"])
@pytest.mark.parametrize("classes", [0, 2, 5])
@pytest.mark.parametrize("penalty", [0.1, 100.0])
def test_few_rows_are_solved_exactly_in_their_span(count, width, classes, penalty):
    rows, targets = dense(count, width, classes)
    others = RANDOM.normal(size=(50, width))
    problem = Problem.of(rows)
    assert problem.rows.shape == (count, min(count, width))
    assert np.square(problem.rows).sum(axis=1).mean() == pytest.approx(1)
    found = problem.solved(targets, classes, penalty).answers(others)
    usual = penalty / np.square(rows).sum(axis=1).mean()  # the same penalty on the rows as they are
    if classes:
        oracle = LogisticRegression(C=usual, max_iter=10_000, tol=1e-8).fit(rows, targets)
        assert np.allclose(found, oracle.predict_proba(others), atol=5e-3)
    else:
        oracle = Ridge(alpha=1 / usual, solver="svd").fit(rows, targets)
        assert np.allclose(found, oracle.predict(others), rtol=1e-6)


def test_tf_idf_is_scikit_learn_s_pipeline():
    inputs, labels = topics(60, 0)
    tested, _ = topics(40, 1)
    learner, names = Learner("sequence_classification", {"TF-IDF": NGrams()}), sorted(set(labels))
    samples = learner.encode(inputs, labels, names)
    fitted = learner.fit(samples, list(map(str, range(60))), 0)
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    oracle = make_pipeline(words, LogisticRegression(C=fitted.penalty, max_iter=10_000, tol=1e-8))
    oracle.fit(inputs["text"], labels)
    assert np.allclose(fitted.answer(tested), oracle.predict_proba(tested["text"]), atol=2e-3)
    test = learner.encode(tested, labels[:1] * 40, names)
    assert np.allclose(fitted.outcomes(test)["confidence"], fitted.answer(tested).max(axis=1), atol=1e-5)


def test_lsa_is_scikit_learn_s_pipeline():
    texts, tested = topics(200, 0)[0]["text"], topics(40, 1)[0]
    words = TfidfVectorizer(sublinear_tf=True, min_df=3, dtype=np.float32)
    size = min(300, len(words.fit(texts).vocabulary_) - 1)
    svd = TruncatedSVD(size, n_iter=4, n_oversamples=20, random_state=0)
    oracle = make_pipeline(words, svd, Normalizer()).fit(texts)
    semantic = Semantics.of(texts)
    assert np.allclose(semantic.rows(tested), oracle.transform(tested["text"]), atol=1e-4)
    assert semantic.megabytes > 4 * size * size / 1e6
    assert Semantics.of(["a b", "c d"]) is None


def test_held_out_labels_have_no_part_in_their_own_prediction():
    """Random labels are guessed as by chance, and other labels of a fold change nothing of its answers."""
    rows, _ = dense(100, 400, 2)
    targets = RANDOM.integers(0, 2, 100)
    parts = folds([str(place) for place in range(100)], 0)
    problem, order = Problem.of(rows), np.concatenate([judge for _, judge in parts])
    found = problem.held_out(targets, 2, linear.TRIED, parts)
    rights = [(answers.argmax(axis=1) == targets[order]).mean() for answers in found]
    assert sorted(order) == list(range(100)) and 0.3 < np.mean(rights) < 0.7
    assert (problem.solved(targets, 2, 1000.0).answers(rows).argmax(axis=1) == targets).all()
    flipped = targets.copy()
    flipped[parts[0][1]] = 1 - flipped[parts[0][1]]
    again = problem.held_out(flipped, 2, linear.TRIED, parts)
    first = len(parts[0][1])
    assert all(np.array_equal(a[:first], b[:first]) for a, b in zip(found, again, strict=True))


def test_folds_keep_groups_whole():
    groups = [str(place // 7) for place in range(70)]
    for learned, judge in (parts := folds(groups, 3)):
        assert not {groups[i] for i in learned} & {groups[i] for i in judge}
        assert sorted([*learned, *judge]) == list(range(70))
    assert len(parts) == 5 and folds(groups, 3)[0][1].tolist() == parts[0][1].tolist()
    assert folds(["a"] * 9, 0) == [] and len(folds(["a", "b"], 0)) == 2
    assert len(folds([str(i) for i in range(linear.ENOUGH[0] + 1)], 0)) == 1


@pytest.mark.parametrize("classes", [[1], [0, 3]])
def test_a_class_without_a_label_is_never_predicted(classes):
    rows, _ = dense(30, 8, 2)
    model = solve(rows, np.array(classes * 30)[:30], 5, 1.0)
    assert set(model.answers(RANDOM.normal(size=(200, 8))).argmax(axis=1)) <= set(classes)


def test_of_features_those_are_taken_that_predict_held_out_labels():
    class Noise(NGrams):
        def rows(self, inputs):
            return np.random.default_rng(5).normal(size=(len(inputs["text"]), 20)).astype(np.float32)

        def weigh(self, rows):
            return linear.standard(rows)

    inputs, labels = topics(90, 0)
    groups, names = list(map(str, range(90))), sorted(set(labels))
    for kinds in ({"noise": Noise(), "TF-IDF": NGrams()}, {"TF-IDF": NGrams(), "noise": Noise()}):
        learner = Learner("sequence_classification", kinds)
        fitted = learner.fit(learner.encode(inputs, labels, names), groups, 0)
        assert fitted.kind == "TF-IDF" and fitted.note.startswith("TF-IDF, C = ")


def test_words_are_tagged_by_shape_and_neighbours():
    """Names are known by their capitals, and places by the word before them, though no word is seen twice."""

    def sentences(count: int, seed: int) -> tuple[dict[str, list[list[str]]], list[list[str]]]:
        draw = np.random.default_rng(seed)
        texts, labels = [], []
        for _ in range(count):
            new = ["".join(draw.choice(list("bdfgklmnprst"), 6)) for _ in range(4)]
            texts.append([new[0].title(), "said", new[1], "in", new[2], "and", new[3]])
            labels.append(["B-person", "O", "O", "O", "B-place", "O", "O"])
        return {"text": texts}, labels

    names = ["O", "B-person", "I-person", "B-place", "I-place"]
    learner = Learner("token_classification", {"word shapes": WordShapes()})
    fitted = learner.fit(learner.encode(*sentences(40, 0), names), list(map(str, range(40))), 0)
    found = fitted.outcomes(learner.encode(*sentences(60, 1), names))
    assert found["tp"].sum() >= 118 and found["fp"].sum() <= 2 and found["tokens"].sum() == 7 * 60


def test_many_sparse_rows_keep_the_usual_columns(monkeypatch):
    monkeypatch.setattr(linear, "SPAN", 30)
    monkeypatch.setattr(linear, "COLUMNS", 40)
    inputs, labels = topics(60, 0)
    learner, names = Learner("sequence_classification", {"TF-IDF": NGrams()}), sorted(set(labels))
    samples = learner.encode(inputs, labels, names)
    fitted = learner.fit(samples, list(map(str, range(60))), 0)
    assert fitted.parameters == 40 * len(names) + len(names)
    found = fitted.outcomes(samples)
    assert (found["label"] == found["prediction"]).mean() > 0.9


def test_bm25_is_that_of_rank_bm25():
    """Its BM25Okapi 0.2.2, but for the logarithm, which is Lucene's."""
    documents = [
        "the planet and its star",
        "soil and mulch in the garden",
        "the garden of the planet",
        "violin and cello music",
        "star star star of the show",
    ]
    expected = [
        [1.7789, 0.0, 0.8895, 0.0, 1.3318],
        [0.0, 2.1278, 0.8895, 0.0, 0.0],
        [0.0, 0.0, 0.0, 1.5308, 0.0],
    ]
    assert np.allclose(bm25(["planet star", "garden soil", "music"], documents), expected, atol=1e-4)


def test_several_classes_at_once_are_scikit_learn_s_one_against_the_rest():
    rows, _ = dense(120, 30, 2)
    targets = (rows[:, :3] + RANDOM.normal(size=(120, 3)) > 0).astype(np.int64)
    targets[:, 2] = 0  # a class without a label
    found = Problem.of(rows).solved(targets, 3, 10.0).answers(rows)
    usual = 10.0 / np.square(rows).sum(axis=1).mean()
    for place in (0, 1):
        oracle = LogisticRegression(C=usual, max_iter=10_000, tol=1e-8).fit(rows, targets[:, place])
        assert np.allclose(found[:, place], oracle.predict_proba(rows)[:, 1], atol=5e-3)
    assert (found[:, 2] < 1e-9).all()
