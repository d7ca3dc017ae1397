"""Words of long texts in overlapping windows: each word counts in the window that shows most around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from components.lib.engine.randomness import Ints
from components.lib.modalities.text.examples import IGNORED, Examples
from components.lib.modalities.text.long_texts import LONGEST, Windows, starts
from components.lib.modalities.text.text_pairs import PairFrame

if TYPE_CHECKING:
    from components.lib.modalities.text.labelled import Reader

NOWHERE = -1  # the window of a word that has no token, as it holds nothing or is beyond what is read


@dataclass(frozen=True)
class WordWindows(Windows):
    """Texts of words; a target is the class of a word, at its first token in the window where it counts.

    Attributes:
        words: of each example (words, 3): the class, the window among its own or NOWHERE, the place in it.
        cut: of each example, whether it is longer than what is read of it.
    """

    words: list[Ints]
    cut: list[bool]

    def answers(self, tokens: Sequence[Ints], nothing: int) -> list[Ints]:
        """The class of each word of each example.

        Args:
            tokens: of each of `windows` the class of each token.
            nothing: the class of a word without a token.
        """
        found, at = [], 0
        for many, words in zip(self.many.tolist(), self.words, strict=True):
            own = [tokens[at + window][place] if window >= 0 else nothing for _, window, place in words]
            found.append(np.array(own, np.int64))
            at += many
        return found


def word_windows(
    reader: Reader, texts: Sequence[Sequence[str]], labels: Sequence[Sequence[int]]
) -> WordWindows:
    """Every window of every text of words.

    Args:
        labels: the class of each word.
    """
    frame = PairFrame.of(reader.tokenizer)
    room = max(1, reader.length - len(frame.before) - len(frame.behind))
    ids, targets, many, words, cuts = [], [], list[int](), list[Ints](), list[bool]()
    for text, kinds in zip(texts, labels, strict=True):
        near = _near(text)
        cuts.append(near != list(text))
        encoded = reader.tokenizer(near, is_split_into_words=True, add_special_tokens=False, verbose=False)
        tokens, owners = encoded["input_ids"], encoded.word_ids(0)
        begins = starts(len(tokens), room)
        row = np.full((len(kinds), 3), NOWHERE, np.int64)
        row[:, 0] = kinds
        own = [
            [IGNORED] * (len(frame.before) + len(tokens[at : at + room]) + len(frame.behind)) for at in begins
        ]
        for word, token in {word: at for at, word in reversed(list(enumerate(owners)))}.items():
            after = np.minimum(begins + room, len(tokens)) - 1 - token
            shown = np.where((token >= begins) & (after >= 0), np.minimum(token - begins, after), -1)
            window = int(shown.argmax())
            row[word, 1:] = window, len(frame.before) + token - begins[window]
            own[window][row[word, 2]] = int(kinds[word])
        ids += [[*frame.before, *tokens[at : at + room], *frame.behind] for at in begins]
        targets += own
        many.append(len(begins))
        words.append(row)
    counts = np.array(many, np.int64)
    rows = Examples(ids, targets, reader.tokenizer.pad_token_id)
    return WordWindows(rows, np.cumsum(counts) - counts, counts, words, cuts)


def _near(words: Sequence[str]) -> list[str]:
    """The words of which LONGEST characters are read."""
    found: list[str] = []
    left = LONGEST
    for word in words:
        if left <= 0:
            break
        found.append(word[:left])
        left -= len(word) + 1
    return found
