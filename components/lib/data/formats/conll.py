"""CoNLL columns: a token a line, sentences apart by blank lines; any chunk notation becomes IOB2."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.lib.core.settings import setting
from components.lib.data.decoding import Line, lines
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.streams import Stream

SUFFIXES = (".conll", ".bio", ".iob", ".iob2")
HOLDS = "text"
LABEL = re.compile(r"O|[BILUES]-\S+")


@dataclass(frozen=True)
class Config:
    """Which columns are read."""

    token: int = setting(0, "column of the token; the first one is 0")
    label: int = setting(-1, "column of the label; the last one is -1")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """Records with `tokens` and `labels`: lists of strings of equal length."""
    sentence: list[Line] = []
    for line in lines(stream, encoding):
        if line.text.strip() or line.error:
            sentence.append(line)
        else:
            yield from _sentence(stream, sentence, config)
            sentence = []
            stream.tally.blank += 1
    yield from _sentence(stream, sentence, config)


def iob2(labels: Sequence[str]) -> list[str]:
    """IOB1, IOB2, BIOES, BILOU or labels without any B- as IOB2: every entity begins with B-.

    An I- that follows another type, an O or a closed entity (E-, L-, S-, U-) begins a new entity.
    """
    found, inside = [], ""
    for label in labels:
        prefix, _, kind = label.partition("-")
        begins = prefix in "BSU" or kind != inside
        found.append("O" if prefix == "O" else f"{'B' if begins else 'I'}-{kind}")
        inside = "" if prefix in "OSULE" else kind
    return found


def _sentence(stream: Stream, sentence: list[Line], config: Config) -> Iterator[Record | Rejected]:
    rows = [line.text.split("\t") if "\t" in line.text else line.text.split() for line in sentence]
    kept = [(line, row) for line, row in zip(sentence, rows, strict=True) if row[:1] != ["-DOCSTART-"]]
    stream.tally.header += len(sentence) - len(kept)
    if not kept:
        return
    where, excerpt = place(stream, kept[0][0].number), " ".join(row[0] for _, row in kept if row)
    tokens, labels = [], []
    for line, row in kept:
        at = place(stream, line.number)
        try:
            token, label = row[config.token].strip(), row[config.label].strip()
        except IndexError:
            reason = line.error or f"the line has {len(row)} columns only"
            yield rejected(at, reason, line.text, len(kept))
            return
        reason = line.error or _problem(row, token, label)
        if reason:
            yield rejected(at, reason, f"{line.text} (sentence: {excerpt})", len(kept))
            return
        tokens.append(token)
        labels.append(label)
    yield Record({"tokens": tokens, "labels": iob2(labels)}, where, len(kept))


def _problem(row: list[str], token: str, label: str) -> str:
    if len(row) < 2:
        return "a token and a label are expected"
    if not token:
        return "the token is empty"
    return "" if LABEL.fullmatch(label) else f"'{label}' is not a label such as O, B-person or I-person"
