"""JSON: an object a line (JSON Lines), an array of objects, or an object that has one, `{"data": [...]}`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from components.lib.core.errors import DataError
from components.lib.core.settings import setting
from components.lib.data.decoding import Line, lines
from components.lib.data.formats import Record, Rejected, place, rejected
from components.lib.data.json_documents import Decoder, Document
from components.lib.data.streams import Stream

SUFFIXES = (".jsonl", ".ndjson", ".jsonlines", ".json")
DOCUMENT = re.compile(
    r'\s*\[|\s*\{(?=[^\n]*\Z)\s*(?:"[^"]*"\s*:\s*(?:"[^"]*"|[\w.+-]+)\s*,\s*)*"[^"]*"\s*:\s*\[\s*\{'
)  # an array; or an object that holds one, on a line that has no end as far as can be seen


@dataclass(frozen=True)
class Config:
    """Where the records are."""

    records: str = setting("", "key of the array of records in a JSON object; empty: the only one it has")


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """One record a line, or an object of the array; blank lines mean nothing.

    Raises:
        DataError: if it is one document and cannot be read to its end, or has several arrays of objects.
    """
    found, head, first = lines(stream, encoding, DOCUMENT), list[Line](), list[str]()
    for line in found:
        head.append(line)
        first += [line.text.strip()] if line.text.strip() else []
        if len(first) == 2 or not line.number:
            break
    rest, decoder = chain(head, found), Decoder()
    if head and not head[0].number:
        yield from _Records(stream, config.records, ((line.text, line.error) for line in rest)).read()
        return
    if _is_document(first, stream.wanted, decoder):
        yield from _Records(stream, config.records, ((line.text + "\n", line.error) for line in rest)).read()
        return
    for line in rest:
        where = place(stream, line.number)
        if line.error:
            yield rejected(where, line.error, line.text)
        elif line.text.strip():
            yield _of_line(line.text, where, decoder)
        else:
            stream.tally.blank += 1


def _is_document(first: list[str], wanted: tuple[str, ...], decoder: Decoder) -> bool:
    """Whether the text is not one record a line, by its first two lines that are not blank."""
    if not first or not first[0].startswith("{"):
        return False
    try:
        only, _ = decoder.decode(first[0], 0)
    except (ValueError, RecursionError):
        ends = "[:" if first[1:] and first[1].startswith("{") else "[:{,"  # where printers break lines
        return len(first) == 2 and first[0][-1] in ends
    finally:
        decoder.problem()
    lists = [value for value in only.values() if isinstance(value, list) and value]
    return len(first) == 1 and not set(wanted) & set(only) and any(isinstance(one[0], dict) for one in lists)


def _of_line(text: str, where: str, decoder: Decoder) -> Record | Rejected:
    text = text.strip()
    try:
        fields, end = decoder.decode(text, 0)
        problem = decoder.problem() or ("not JSON: more stands behind it" if text[end:] else "")
    except (ValueError, RecursionError) as error:
        decoder.problem()
        fields, problem = None, f"not JSON: {error}"
    return _record(fields, problem, text, where)


def _record(fields: Any, problem: str, shown: object, where: str) -> Record | Rejected:
    if not problem and not isinstance(fields, dict):
        problem = f"a JSON object is expected, not {type(fields).__name__}"
    return rejected(where, problem, shown) if problem else Record(fields, where)


class _Records:
    """The records of one JSON document, which are its objects and not its lines."""

    def __init__(self, stream: Stream, key: str, found: Iterator[tuple[str, str]]) -> None:
        self._stream, self._key, self._count = stream, key, 0
        self._text = Document(found, lambda line: place(stream, line))

    def read(self) -> Iterator[Record | Rejected]:
        while begin := self._text.peek():
            yield from self._array() if begin == "[" else self._object()
        self._stream.tally.unit, self._stream.tally.read = "records", self._count

    def _array(self) -> Iterator[Record | Rejected]:
        self._text.take("[")
        while self._text.peek() != "]":
            where = place(self._stream, self._text.line)
            value, problem = self._text.value()
            self._count += 1
            yield _record(value, problem, value, where)
            if self._text.peek() != "]":
                self._text.take(",]")
        self._text.take("]")

    def _object(self) -> Iterator[Record | Rejected]:
        """An object that is a record itself; or the records of the array that it holds."""
        text, where = self._text, place(self._stream, self._text.line)
        fields, held, problems = dict[str, Any](), "", list[str]()
        text.take("{")
        while text.peek() != "}":
            key, problem = text.key()
            problems += [problem] * bool(problem)
            problems += [f"the key '{key}' stands twice in an object"] * (key in fields)
            own = any(name in self._stream.wanted for name in (key, *fields))
            if key == self._key or (not self._key and not own and text.begins("[{")):
                if held:
                    fix = "set format_options.jsonl.records to the key of the records"
                    found = f"{held}, {key}"
                    raise DataError("a JSON object has several arrays", where=where, found=found, fix=fix)
                held = key
                yield from self._array()
            else:
                fields[key], problem = text.value()
                problems += [problem] * bool(problem)
            if text.peek() != "}":
                text.take(",}")
        text.take("}")
        if not held:
            self._count += 1
            yield _record(fields, "; ".join(problems[:1]), fields, where)
        elif set(fields) & set(self._stream.wanted):
            what, found = "a JSON object is a record and holds some", f"{held}, {', '.join(sorted(fields))}"
            fix = "write one object a line, or set format_options.jsonl.records"
            raise DataError(what, where=where, found=found, fix=fix)
        elif fields:
            names = ", ".join(sorted(fields))[:80]
            self._stream.tally.notes.append(
                f"its records are '{held}'; what stands beside is not read: {names}"
            )
