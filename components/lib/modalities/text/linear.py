"""Features of texts for linear models: TF-IDF of words and pairs, LSA of the corpus, and shapes of words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction import FeatureHasher
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.preprocessing import normalize

from components.lib.modalities.text.tokenization.corpus_texts import Texts
from components.lib.modalities.text.words import CONTINUOUS
from components.lib.models.linear import Features, Weigh, plain, standard
from components.lib.storage import lineage
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

UNITS = ("sample", "word", "answer", "pair", "match")
TEXTS, CHARACTERS = 50_000, 100_000_000  # of the corpus, from its beginning, that LSA is fitted to, at most
DIMENSIONS = 300  # of LSA
VOCABULARY = 50_000  # words that LSA knows
RARE = 3  # texts that a word of LSA is in, at least
BINS = 2**22  # of hashed n-grams: few enough of them meet
EDGE = 4  # letters of the longest prefix and suffix of a word
NEAR = 2  # neighbours on each side of a word
TOKEN = (
    rf"(?u)[{CONTINUOUS}]|[^\W{CONTINUOUS}]{{2,}}"  # scikit-learn's, and characters of scripts without spaces
)
REPEATED, FIRST = re.compile(r"(.)\1+"), r"\1"


def features(unit: str, store: Store, trunk: Manifest, folder: Path) -> dict[str, Features]:
    """What is known of a text ("sample") or of each of its words ("word"); reads the trunk's corpus once."""
    if unit == "word":
        return {"word shapes": WordShapes()}
    if unit == "answer":
        return {"words of both": QuestionWords()}
    semantic = Semantics.of(_texts(store, lineage.ancestors(store, trunk)["ingestion"]))
    if unit == "pair":
        shared: dict[str, Features] = {"shared words": SharedWords()}
        return {**shared, "LSA of both": Nearness(semantic)} if semantic else shared
    if unit == "match":
        alike: dict[str, Features] = {"BM25": Matches(bm25), "TF-IDF": Matches(cosines)}
        return {**alike, "LSA": Matches(semantic.alike)} if semantic else alike
    found: dict[str, Features] = {"TF-IDF": NGrams()}
    return {**found, "LSA": semantic} if semantic else found


def _texts(store: Store, corpus: Manifest) -> list[str]:
    """The first ones of the training split."""
    found: list[str] = []
    left = CHARACTERS
    for batch in Texts(store, corpus, "train").batches():
        found += batch
        left -= sum(map(len, batch))
        if left < 0 or len(found) >= TEXTS:
            break
    return found[:TEXTS]


def _only(inputs: Mapping[str, Sequence[Any]]) -> Sequence[Any]:
    """The values of the one role of a task on texts."""
    return next(iter(inputs.values()))


class NGrams:
    """Words and pairs of neighbours, hashed; weighed as scikit-learn's TfidfVectorizer does."""

    megabytes = 0.0

    def rows(self, inputs: Mapping[str, Sequence[str]]) -> Any:
        """(n, BINS) counts."""
        options = {
            "ngram_range": (1, 2),
            "n_features": BINS,
            "norm": None,
            "alternate_sign": False,
            "token_pattern": TOKEN,
        }
        return HashingVectorizer(**options, dtype=np.float32).transform(_only(inputs))

    def weigh(self, rows: Any) -> Weigh:
        """TF-IDF with logarithmic counts, of n-grams that these texts have, at length 1."""
        counts = np.bincount(rows.indices, minlength=BINS)
        known = np.flatnonzero(counts)
        weights = TfidfTransformer(sublinear_tf=True).fit(rows[:, known])
        return lambda others: _spread(weights.transform(others[:, known]), known)


def _spread(rows: Any, known: Any) -> Any:
    """The columns at their places among all."""
    from scipy.sparse import csr_matrix

    return csr_matrix((rows.data, known[rows.indices], rows.indptr), shape=(rows.shape[0], BINS))


class Semantics:
    """Latent semantic analysis: TF-IDF of single words, on its largest singular vectors, at length 1.

    Deerwester et al., "Indexing by latent semantic analysis", 1990; randomised: Halko et al., 2011.
    """

    def __init__(self, words: TfidfVectorizer, axes: Any) -> None:
        self.words, self.axes = words, axes
        letters = sum(len(word.encode()) for word in words.vocabulary_)
        self.megabytes = (axes.nbytes + words.idf_.nbytes + letters) / 1e6

    @classmethod
    def of(cls, texts: list[str]) -> Semantics | None:
        """Fitted to texts without labels; None if too few words are in RARE of them."""
        words = TfidfVectorizer(
            sublinear_tf=True, min_df=RARE, max_features=VOCABULARY, token_pattern=TOKEN, dtype=np.float32
        )
        try:
            table = words.fit_transform(texts)
        except ValueError:  # no words are left
            return None
        size = min(DIMENSIONS, min(table.shape) - 1)
        if size < 2:
            return None
        axes = TruncatedSVD(size, n_iter=4, n_oversamples=20, random_state=0).fit(table).components_
        return cls(words, np.ascontiguousarray(axes.T))

    def rows(self, inputs: Mapping[str, Sequence[str]]) -> Any:
        """(n, dimensions)."""
        return normalize(np.asarray(self.words.transform(_only(inputs)) @ self.axes))

    def alike(self, first: Sequence[str], second: Sequence[str]) -> Any:
        """(n, m) cosines."""
        return self.rows({"text": first}) @ self.rows({"text": second}).T

    def weigh(self, rows: Any) -> Weigh:
        """The rows as they are."""
        return plain(rows)


class Matches:
    """How much each query is like each document, by one measure: held-out labels choose among several."""

    megabytes = 0.0

    def __init__(self, measure: Callable[[Sequence[str], Sequence[str]], Any]) -> None:
        self.measure = measure

    def rows(self, inputs: Mapping[str, Sequence[str]]) -> Any:
        """(queries x documents, 1), query after query."""
        return np.asarray(self.measure(inputs["query"], inputs["document"]), np.float32).reshape(-1, 1)

    def weigh(self, rows: Any) -> Weigh:
        """The rows in deviations from the mean."""
        return standard(rows)


def _counts(texts: Sequence[str]) -> Any:
    options = {"n_features": BINS, "norm": None, "alternate_sign": False, "token_pattern": TOKEN}
    return HashingVectorizer(**options, dtype=np.float64).transform(texts)


def cosines(queries: Sequence[str], documents: Sequence[str]) -> Any:
    """(n, m) of TF-IDF with logarithmic counts; how rare a word is, the documents say."""
    counts = _counts(documents)
    weights = TfidfTransformer(sublinear_tf=True).fit(counts)
    return (weights.transform(_counts(queries)) @ weights.transform(counts).T).toarray()


def bm25(queries: Sequence[str], documents: Sequence[str], k1: float = 1.2, b: float = 0.75) -> Any:
    """(n, m) scores of Okapi BM25 (Robertson et al., TREC-3, 1994), with the logarithm of Lucene."""
    counts = _counts(documents).tocsr()
    lengths = np.asarray(counts.sum(axis=1)).ravel()
    having = np.bincount(counts.indices, minlength=BINS)
    rare = np.log1p((len(documents) - having + 0.5) / (having + 0.5))
    norms = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-9))
    owners = np.repeat(np.arange(len(documents)), np.diff(counts.indptr))
    counts.data = rare[counts.indices] * counts.data * (k1 + 1) / (counts.data + norms[owners])
    return (_counts(queries) @ counts.T).toarray()


class SharedWords:
    """Words that both texts of a pair have, or one of them alone, and how many they share; hashed."""

    megabytes = 0.0

    def rows(self, inputs: Mapping[str, Sequence[str]]) -> Any:
        """(n, 2 ** 20)."""
        hasher = FeatureHasher(2**20, input_type="string", alternate_sign=False, dtype=np.float32)
        find = re.compile(TOKEN).findall
        sides = [[set(find(text.lower())) for text in texts] for texts in inputs.values()]
        return hasher.transform(_shared(*pair) for pair in zip(*sides, strict=True))

    def weigh(self, rows: Any) -> Weigh:
        """The rows as they are."""
        return plain(rows)


def _shared(first: set[str], second: set[str]) -> Iterator[str]:
    """The names of what is true of a pair of texts."""
    common = first & second
    for size, side in ((len(first), "first"), (len(second), "second"), (len(first | second), "either")):
        for step in range(1, 1 + round(10 * len(common) / max(1, size))):
            yield f"{step} tenths of {side}"
    for side, words in (("both", common), ("first", first - common), ("second", second - common)):
        yield from (f"{side}={word}" for word in sorted(words))


class Nearness:
    """LSA of both texts of a pair: how far they are apart and how far they agree, axis by axis."""

    def __init__(self, semantic: Semantics) -> None:
        self.semantic, self.megabytes = semantic, semantic.megabytes

    def rows(self, inputs: Mapping[str, Sequence[str]]) -> Any:
        """(n, 2 dimensions + 1), the last of which is the cosine."""
        a, b = (self.semantic.rows({role: texts}) for role, texts in inputs.items())
        return np.hstack([np.abs(a - b), a * b, (a * b).sum(axis=1, keepdims=True)]).astype(np.float32)

    def weigh(self, rows: Any) -> Weigh:
        """The rows in deviations from the mean."""
        return standard(rows)


class WordShapes:
    """Each word and its neighbours: themselves, their shape (Xx, d), prefixes and suffixes; hashed."""

    megabytes = 0.0
    tried = tuple((penalty, balance) for balance in (0.0, 0.5, 1.0) for penalty in (1.0, 10.0, 100.0))

    def rows(self, inputs: Mapping[str, Sequence[Sequence[str]]]) -> Any:
        """(words, 2 ** 20)."""
        hasher = FeatureHasher(2**20, input_type="string", alternate_sign=False, dtype=np.float32)
        return hasher.transform(names for words in _only(inputs) for names in _word_features(words))

    def weigh(self, rows: Any) -> Weigh:
        """The rows as they are."""
        return plain(rows)


class QuestionWords(WordShapes):
    """Each word of a context as `WordShapes` has it, and whether its question has it; with which words."""

    def rows(self, inputs: Mapping[str, Sequence[Sequence[str]]]) -> Any:
        """(words of the contexts, 2 ** 20); of a question and of a context the words."""
        hasher = FeatureHasher(2**20, input_type="string", alternate_sign=False, dtype=np.float32)
        pairs = zip(inputs["question"], inputs["context"], strict=True)
        return hasher.transform(names for asked, words in pairs for names in _asked_features(asked, words))


def _asked_features(asked: Sequence[str], words: Sequence[str]) -> Iterator[list[str]]:
    """The names of what is true of each word of a context, with the words of its question."""
    question, lower = {word.lower() for word in asked}, [word.lower() for word in words]
    shared = np.array([word in question for word in lower])
    places = np.flatnonzero(shared)
    for place, names in enumerate(_word_features(words)):
        apart = int(np.abs(places - place).min()) if len(places) else -1
        own = [f"shared={shared[place]}", f"apart={min(apart, 8)}"]
        kinds = (f"word={lower[place]}", f"short={REPEATED.sub(FIRST, _shape(words[place]))}", own[1])
        yield [*names, *own, *(f"{word}&{kind}" for word in sorted(question) for kind in kinds)]


def _word_features(words: Sequence[str]) -> Iterator[list[str]]:
    """The names of what is true of each word of a text."""
    lower = [word.lower() for word in words]
    shapes = [_shape(word) for word in words]
    for place, word in enumerate(lower):
        shape = shapes[place]
        names = [f"word={word}", f"shape={shape}", f"short={REPEATED.sub(FIRST, shape)}"]
        for size in range(1, min(EDGE, len(word)) + 1):
            names += [f"starts={word[:size]}", f"ends={word[-size:]}"]
        for step in (*range(-NEAR, 0), *range(1, NEAR + 1)):
            other = place + step
            inside = 0 <= other < len(words)
            names += [f"{step}:{lower[other]}", f"{step}:{shapes[other]}"] if inside else [f"{step}:none"]
        yield names


def _shape(word: str) -> str:
    """Letters by case and digits by kind: 'McDonald2' is XxXxxxxxd; cut, so that long words are alike."""
    kinds = ("X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c for c in word[:20])
    return "".join(kinds)
