"""Pairs of texts as one row of tokens, as BERT reads them: [CLS] first [SEP] second [SEP]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.lib.core.errors import DataError
from components.lib.modalities.text.examples import Examples

if TYPE_CHECKING:
    from components.lib.modalities.text.labelled import Reader

PROBE = "a"  # a text by which a frame is seen


@dataclass(frozen=True)
class PairFrame:
    """Ids before, between and behind two texts: those of one text, and its separator, or its end, between."""

    before: list[int]
    between: list[int]
    behind: list[int]

    @classmethod
    def of(cls, tokenizer: Any) -> PairFrame:
        """As the tokenizer frames one text: the pair's own frame is lacking in many tokenizer.json."""
        encoded = tokenizer(PROBE, return_special_tokens_mask=True)
        ids, special = encoded["input_ids"], encoded["special_tokens_mask"]
        at = special.index(0) if 0 in special else (len(ids) + 1) // 2
        behind = len(ids) - sum(one == 0 for one in special) - at
        ends = (tokenizer.sep_token_id, tokenizer.eos_token_id)
        between = [next(one for one in ends if one is not None)] if any(e is not None for e in ends) else []
        return cls(ids[:at], between, ids[len(ids) - behind :])

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.behind)

    def row(self, first: list[int], second: list[int]) -> tuple[list[int], list[int]]:
        """The ids, and 0 for each of the first text and 1 for each of the second."""
        head, tail = [*self.before, *first, *self.between], [*second, *self.behind]
        return [*head, *tail], [0] * len(head) + [1] * len(tail)


def encoded_pairs(
    reader: Reader, first: Sequence[str], second: Sequence[str], targets: Sequence[Any]
) -> Examples:
    """Both texts in a row; of what is too long the longer one is cut, token by token.

    Args:
        targets: (n,) as `Examples` has them.
    """
    frame = PairFrame.of(reader.tokenizer)
    room, rows = reader.length - len(frame), []
    parts = [reader.encode(texts, add_special_tokens=False) for texts in (first, second)]
    for place in range(len(targets)):
        a, b = (encoded["input_ids"][place] for encoded, _ in parts)
        cut = any(cuts[place] for _, cuts in parts) or len(a) + len(b) > room
        keep = min(len(a), max(room - len(b), room - room // 2))
        a, b = a[:keep], b[: room - keep]
        rows.append((*frame.row(a, b), cut))
    ids, types, cuts = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    return Examples(ids, list(targets), reader.tokenizer.pad_token_id, cuts, types=types)


def checked_pair(values: Mapping[str, Any]) -> dict[str, str]:
    """The roles `first` and `second` of a record; raises DataError if one is not text, or is empty."""
    for role in ("first", "second"):
        if not isinstance(values[role], str) or not values[role].strip():
            what = f"the {role} text is missing or empty"
            raise DataError(what, found=repr(values[role])[:80])
    return {role: values[role] for role in ("first", "second")}
