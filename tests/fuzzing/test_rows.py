"""Good rows among broken ones: each is read as it is, or stands inside what is told as broken."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.lib.core.errors import DataError
from components.lib.data.formats import Account, Layout, Record, Rejected, read
from components.lib.data.streams import Stream
from tests.fuzzing.mutation import TEXTS, WORDS
from tests.fuzzing.test_records import fuzzed

Row = tuple[str, str]


def _comma(row: Row) -> str:
    return ",".join(
        '"' + cell.replace('"', '""') + '"' if re.search('[,;"\t]', cell) else cell for cell in row
    )


def _tab(row: Row) -> str:
    return "\t".join(cell.replace("\t", " ") for cell in row)


def _json(row: Row) -> str:
    return json.dumps(dict(zip(("text", "label"), row, strict=True)), ensure_ascii=False)


# format -> header, a good row, rows that are none; True where no broken row may cost another line
FORMS = {
    "csv": (
        "text,label\n",
        _comma,
        (b"one", b"a,b,c", b'"open,x', b'op"en,x', b'"a" b,x', b"bad \xff,x"),
        False,
    ),
    "tsv": ("text\tlabel\n", _tab, (b"one", b"a\tb\tc", b"bad \xff\tx"), True),
    "tab": ("text\tlabel\n", _tab, (b"one", b"a\tb\tc", b"bad \xff\tx"), True),
    "jsonl": ("", _json, (b'{"text": "x', b"3", b'{"text": "\xff"}', b"\xc3", b"9" * 5000), True),
    "txt": ("", lambda row: row[0], (b"bad \xff byte", b"\xf0\x9f"), True),
}
ROWS = st.lists(
    st.tuples(TEXTS.map(str.strip).filter(bool), WORDS.filter(str.strip)), min_size=4, max_size=30
)


def told(name: str, data: bytes, lines: int) -> tuple[dict[int, Record], set[int]]:
    """Line -> the record that begins there; the lines of what is told as broken."""
    layout, found, broken = Layout(options={"txt": {"unit": "line"}}, encoding="utf-8"), {}, set[int]()
    try:
        for item in _items(name, data, layout):
            number = int(item.where.rpartition(":")[2])
            if isinstance(item, Record):
                found[number] = item
            else:
                broken |= set(range(number - item.span + 1, number + item.span))  # it names the worst line
    except DataError:  # the file is set aside, whole
        broken = set(range(1, lines + 1))
    return found, broken


def _items(name: str, data: bytes, layout: Layout) -> Iterator[Record | Rejected]:
    stream = Stream(f"a.{name}", io.BytesIO(data), f".{name}")
    return (item for item in read(stream, layout) if not isinstance(item, Account))


@pytest.mark.parametrize("name", FORMS)
@fuzzed
@given(drawn=st.data())
def test_a_good_row_is_read_or_told(name: str, drawn: st.DataObject) -> None:
    header, written, broken, alone = FORMS[name]
    rows = drawn.draw(ROWS)
    lines = [written(row).encode() for row in rows]
    poison = drawn.draw(st.lists(st.tuples(st.integers(0, len(rows)), st.sampled_from(broken)), max_size=3))
    kept: list[Row | None] = list(rows)
    for place, line in poison:
        lines.insert(place, line)
        kept.insert(place, None)
    data = header.encode() + b"".join(line + b"\n" for line in lines)
    first = 2 if header else 1
    found, lost = told(name, data, len(lines) + first)
    if not poison:
        assert not lost
    for number, row in enumerate(kept, first):
        if row is None:
            assert number in found or number in lost, lines[number - first]
        elif number not in lost:
            text, label = row if name != "tsv" and name != "tab" else _tab(row).split("\t")
            wanted = {"text": text, "label": label} if name != "txt" else {"text": text}
            assert found[number].fields == wanted
        else:
            assert not alone, row
