"""Words of long texts in overlapping windows: each word counts in the window that shows most around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from components.lib.engine.randomness import Draw, Ints
from components.lib.modalities.text.examples import IGNORED, Examples, Padded
from components.lib.modalities.text.text_pairs import PairFrame
from components.lib.modalities.text.windows import LONGEST, STRIDE

if TYPE_CHECKING:
    from components.lib.modalities.text.labelled import Reader

NOWHERE = -1  # the window of a word that has no token, as it holds nothing or is beyond what is read


@dataclass(frozen=True)
class WordWindows:
    """Texts of words as windows of tokens.

    Attributes:
        rows: all windows; a target is the class of a word, at its first token in the window that answers it.
        first, many: (n,) of each example its first window among `rows`, and how many it has.
        words: of each example (words, 3): the class, the window among its own or NOWHERE, the place in it.
        cut: of each example, whether it is longer than what is read of it.
    """

    rows: Examples
    first: Ints
    many: Ints
    words: list[Ints]
    cut: list[bool]

    def __len__(self) -> int:
        return len(self.words)

    def subset(self, chosen: Sequence[int] | Ints) -> WordWindows:
        """The examples at these places, in this order; the windows are shared."""
        places = np.asarray(chosen, np.int64)
        words, cut = [self.words[i] for i in places], [self.cut[i] for i in places]
        return replace(self, first=self.first[places], many=self.many[places], words=words, cut=cut)

    def batches(self, size: int) -> list[Ints]:
        """Places of examples in batches of similar length."""
        order = np.argsort(self.many, kind="stable")
        return [order[at : at + size] for at in range(0, len(order), size)]

    def windows(self) -> tuple[Examples, Ints]:
        """All windows of these examples, one example after the other, and where each example begins."""
        places = [np.arange(a, a + b) for a, b in zip(self.first, self.many, strict=True)]
        return self.rows.subset(np.concatenate(places)), np.cumsum(self.many) - self.many

    def drawn(self, draw: Draw) -> Padded:
        """One window an example."""
        shift = np.floor(draw.uniform("window")[:, 0] * self.many[draw.ids]).astype(np.int64)
        return self.rows.batch(self.first[draw.ids] + shift)

    def answers(self, tokens: Sequence[Ints], nothing: int) -> list[Ints]:
        """Of each example the class of each word.

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
    step = max(1, int(room * STRIDE))
    ids, targets, many, words, cuts = [], [], list[int](), list[Ints](), list[bool]()
    for text, kinds in zip(texts, labels, strict=True):
        near = _near(text)
        cuts.append(near != list(text))
        encoded = reader.tokenizer(near, is_split_into_words=True, add_special_tokens=False, verbose=False)
        tokens, owners = encoded["input_ids"], encoded.word_ids(0)
        starts = np.arange(0, max(1, len(tokens) - room + step), step)
        row = np.full((len(kinds), 3), NOWHERE, np.int64)
        row[:, 0] = kinds
        own = [
            [IGNORED] * (len(frame.before) + len(tokens[at : at + room]) + len(frame.behind)) for at in starts
        ]
        for word, token in {word: at for at, word in reversed(list(enumerate(owners)))}.items():
            after = np.minimum(starts + room, len(tokens)) - 1 - token
            shown = np.where((token >= starts) & (after >= 0), np.minimum(token - starts, after), -1)
            window = int(shown.argmax())
            row[word, 1:] = window, len(frame.before) + token - starts[window]
            own[window][row[word, 2]] = int(kinds[word])
        ids += [[*frame.before, *tokens[at : at + room], *frame.behind] for at in starts]
        targets += own
        many.append(len(starts))
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
