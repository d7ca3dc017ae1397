"""Tokenizers trained on a corpus: the same texts give the same file, byte for byte.

The trainers of `tokenizers` 0.23 iterate over hash maps with random seeds. Byte-level BPE does not care; the
others are put right here: WordPiece is told its alphabet in order, Unigram's ties are ordered afterwards, and
words are counted again, document by document.
"""

from __future__ import annotations

import itertools
import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from components.lib.modalities.text.settings import Tokenization
from components.lib.modalities.text.tokenization.tokenizer import NAMES, FramedTokenizer, added, frame

Batches = Callable[[], Iterator[list[str]]]
LONGEST_WORD = 64  # characters: WordPiece needs quadratic time for a word, and gives up on long ones
PIECES = "##"
WORDS = Regex(r"\w\w+")  # as scikit-learn's vectorizers find them
STEP = 0.0001  # of the scores that the Unigram trainer makes up


def train(options: Tokenization, batches: Batches) -> FramedTokenizer:
    """A tokenizer of the configured kind.

    Args:
        batches: starts a new pass over the training texts, in batches.
    """
    kinds = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram, "word": _word}
    tokenizer = kinds[options.kind](options, batches)
    tokenizer.add_special_tokens([added(name) for name in NAMES.values()])
    frame(tokenizer, NAMES["bos"], NAMES["eos"])
    tokenizer.encode_special_tokens = True
    return FramedTokenizer(tokenizer, NAMES)


def _bpe(options: Tokenization, batches: Batches) -> Tokenizer:
    """Radford et al., 2019: pairs of bytes, so that no text is unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Lowercase() if options.lowercase else None
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocabulary_size,
        min_frequency=options.min_frequency,
        special_tokens=list(NAMES.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(batches(), trainer)
    return tokenizer


def _wordpiece(options: Tokenization, batches: Batches) -> Tokenizer:
    """Wu et al., 2016, split as BERT does; accents stay: in many scripts they are the vowels."""
    normalizer = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=options.lowercase
    )
    splits = [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.FixedLength(LONGEST_WORD)]
    learner = _with_splits(Tokenizer(models.WordPiece(unk_token=NAMES["unk"])), normalizer, splits)
    letters = Alphabet(batches(), normalizer, options.min_frequency).frequent
    trainer = trainers.WordPieceTrainer(
        vocab_size=options.vocabulary_size,
        min_frequency=options.min_frequency,
        special_tokens=[*NAMES.values(), *_forms(letters, normalizer, _room(options))],
        limit_alphabet=0,
        continuing_subword_prefix=PIECES,
        show_progress=False,
    )
    learner.train_from_iterator(batches(), trainer)
    # Built anew, because for `learner` every letter is a special token.
    model = models.WordPiece(
        learner.get_vocab(), unk_token=NAMES["unk"], max_input_chars_per_word=LONGEST_WORD
    )
    tokenizer = _with_splits(Tokenizer(model), normalizer, splits)
    tokenizer.decoder = decoders.WordPiece(PIECES, cleanup=False)
    return tokenizer


def _unigram(options: Tokenization, batches: Batches) -> Tokenizer:
    """Kudo, 2018: the most probable pieces. Its trainer wants every character, so rare ones are blanked."""
    learner = _with_marks(Tokenizer(models.Unigram()), options)
    rare = Alphabet(batches(), learner.normalizer, options.min_frequency).without(_room(options))
    trainer = trainers.UnigramTrainer(
        vocab_size=options.vocabulary_size,
        special_tokens=list(NAMES.values()),
        unk_token=NAMES["unk"],
        show_progress=False,
    )
    texts = ([text.translate(rare) for text in batch] if rare else batch for batch in batches())
    learner.train_from_iterator(texts, trainer)
    vocabulary = [(piece, score) for piece, score in json.loads(learner.to_str())["model"]["vocab"]]
    first = len(NAMES)
    ordered = vocabulary[:first] + _in_order(vocabulary[first:])
    unknown = list(NAMES).index("unk")
    return _with_marks(Tokenizer(models.Unigram(ordered, unk_id=unknown)), options)


def _word(options: Tokenization, batches: Batches) -> Tokenizer:
    """Whole words of at least two letters or digits, those of most documents first; rare ones are [UNK]."""
    learner = _with_words(Tokenizer(models.WordLevel(unk_token=NAMES["unk"])), options)
    trainer = trainers.WordLevelTrainer(
        vocab_size=2**31,
        min_frequency=options.min_frequency,
        special_tokens=[NAMES["unk"]],
        show_progress=False,
    )
    learner.train_from_iterator(batches(), trainer)
    documents = np.zeros(learner.get_vocab_size(), np.int64)
    for batch in batches():
        for encoding in learner.encode_batch_fast(batch, add_special_tokens=False):
            documents[np.unique(np.asarray(encoding.ids, np.int64))] += 1
    counts = {word: int(documents[number]) for word, number in learner.get_vocab().items()}
    enough = (item for item in counts.items() if item[1] >= options.min_frequency and item[0] != NAMES["unk"])
    kept = sorted(enough, key=lambda item: (-item[1], item[0]))[: options.vocabulary_size - len(NAMES)]
    vocabulary = {word: number for number, word in enumerate([*NAMES.values(), *(word for word, _ in kept)])}
    return _with_words(Tokenizer(models.WordLevel(vocabulary, unk_token=NAMES["unk"])), options)


def _with_words(tokenizer: Tokenizer, options: Tokenization) -> Tokenizer:
    """What stands between words vanishes: no text can spell `[MASK]`."""
    normalizer = normalizers.Lowercase() if options.lowercase else None
    return _with_splits(tokenizer, normalizer, [pre_tokenizers.Split(WORDS, "removed", invert=True)])


def _room(options: Tokenization) -> int:
    """How many tokens single characters may take: half of them, so that the rest can be longer."""
    return (options.vocabulary_size - len(NAMES)) // 2


def _in_order(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Pieces by falling score, whatever order a hash map gave them.

    Sums of floats differ in their last digits with the order of summation. And characters that no
    segmentation uses get the lowest score, plus 0, 1, 2, ... times `STEP` in the order of a hash map.
    """
    lowest = min((score for _, score in pieces), default=0.0)
    ranked = {piece: round((score - lowest) / STEP, 3) for piece, score in pieces if len(piece) == 1}
    ranks = set(ranked.values())
    end = next(rank for rank in itertools.count() if rank not in ranks)
    unused = sorted(piece for piece, rank in ranked.items() if rank < end and rank.is_integer())
    scores = dict(pieces)
    scores |= zip(unused, sorted((scores[piece] for piece in unused), reverse=True), strict=True)
    rounded = [(piece, round(score, 6)) for piece, score in scores.items()]
    return sorted(rounded, key=lambda entry: (-entry[1], entry[0]))


def _forms(letters: list[str], normalizer: normalizers.Normalizer, room: int) -> list[str]:
    """The most frequent characters, and the same as continuations of a word, within `room` tokens."""
    chosen: list[str] = []
    for letter in letters:
        forms = [letter] if _stands_alone(letter, normalizer) else [letter, PIECES + letter]
        if len(chosen) + len(forms) > room:
            break
        chosen += forms
    return sorted(chosen)


def _stands_alone(letter: str, normalizer: normalizers.Normalizer) -> bool:
    """Punctuation and Chinese characters are words by themselves."""
    ascii_symbol = ord(letter) < 128 and not letter.isalnum()
    spaced = normalizer.normalize_str(letter) != letter
    return ascii_symbol or spaced or unicodedata.category(letter).startswith("P")


def _with_marks(tokenizer: Tokenizer, options: Tokenization) -> Tokenizer:
    """Spaces become part of the next word; punctuation is split off, so that no piece spells `[MASK]`."""
    normalizer = normalizers.Lowercase() if options.lowercase else None
    splits = [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation("isolated")]
    tokenizer = _with_splits(tokenizer, normalizer, splits)
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


def _with_splits(
    tokenizer: Tokenizer, normalizer: normalizers.Normalizer | None, splits: list[pre_tokenizers.PreTokenizer]
) -> Tokenizer:
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    return tokenizer


class Alphabet:
    """Characters by frequency.

    Args:
        normalizer: what a tokenizer does to a text first, or None.
        least: occurrences below which a character is rare.

    Attributes:
        frequent: normalised characters, the most frequent first; white space is not among them.
    """

    def __init__(
        self, batches: Iterable[list[str]], normalizer: normalizers.Normalizer | None, least: int
    ) -> None:
        seen = np.zeros(0x110000, np.int64)
        for batch in batches:
            found = np.bincount(np.frombuffer("".join(batch).encode("utf-32-le"), "<u4"))
            seen[: len(found)] += found
        self._forms: dict[int, str] = {}
        counts = Counter[str]()
        for code in np.flatnonzero(seen).tolist():
            form = normalizer.normalize_str(chr(code)) if normalizer else chr(code)
            self._forms[code] = form
            for letter in form:
                counts[letter] += int(seen[code])
        ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
        self.frequent = [letter for letter, count in ordered if count >= least and not letter.isspace()]

    def without(self, most: int) -> dict[int, str]:
        """A table for `str.translate` that blanks what is not among the `most` frequent characters."""
        kept = set(self.frequent[:most])
        rare = (
            code for code, form in self._forms.items() if any(not c.isspace() and c not in kept for c in form)
        )
        return dict.fromkeys(rare, " ")
