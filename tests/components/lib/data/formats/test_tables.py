"""Tables as people have them: what becomes of each line is told, and adds up."""

from pathlib import Path

import pytest

from components.lib.core.errors import DataError
from components.lib.data.formats import Account, Layout, Record
from components.lib.data.sources import read_records

BODY = [f"some words of row {i},{'ab'[i % 2]}" for i in range(8)]
TABS = [line.replace(",", "\t") for line in BODY]


def read(tmp_path: Path, name: str, data: str | bytes, *, fields=(), encoding="auto", **options):
    """The records' values, the rejected ones with their lines, and the account of a file."""
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    accounts: list[Account] = []
    layout = Layout(options={"csv": options} if options else {}, fields=fields, encoding=encoding)
    found = list(read_records(str(path), layout, accounts))
    good = [tuple(one.fields.values()) for one in found if isinstance(one, Record)]
    bad = [
        (int(one.where.rpartition(":")[2]), one.span, one.reason) for one in found if type(one) is not Record
    ]
    return good, bad, accounts[0]


def lines(*rows: str, header: str = "text,label", end: str = "\n") -> str:
    return end.join([header, *rows]) + end


def pairs(rows: list[str]) -> list[tuple[str, ...]]:
    return [tuple(row.replace(",", "\t").split("\t")) for row in rows]


STRAY_TABS = ['"opens ' + TABS[0], *TABS[1:6], 'ends"\tb']
STRAY = ['"opens ' + BODY[0], *BODY[1:6], 'ends",b']


@pytest.mark.parametrize(
    ("name", "data", "good", "bad"),
    [
        ("a.tsv", lines(*STRAY_TABS, header="text\tlabel"), pairs(STRAY_TABS), []),
        ("a.csv", lines(*STRAY), pairs(STRAY[1:]), [(2, 1)]),  # closed properly: all lines look like rows
        (
            "a.csv",
            lines(*STRAY[:-1], 'x,"a, b"', *BODY),
            [*pairs(STRAY[1:-1]), ("x", "a, b"), *pairs(BODY)],
            [(2, 1)],
        ),
        ("a.csv", lines(*STRAY[:-1], *BODY), pairs([*STRAY[1:-1], *BODY]), [(2, 1)]),  # never closed
        ("a.csv", lines('"Dear Ann,\nthank you, dear,\nyours, Bob",a', BODY[0]), None, []),
        ("a.csv", lines('a,"Dear Ann,\nthank you,\n\nyours, Bob"', header="label,text"), None, []),
        ("a.csv", lines('"open" junk,a', *BODY), pairs(BODY), [(2, 1)]),
        ("a.csv", lines('"two\nlines, and more" junk,a', *BODY), pairs(BODY), [(2, 2)]),
        ("a.csv", lines("one,two,three", *BODY), pairs(BODY), [(2, 1)]),
        ("a.csv", lines('"first\nse\udcffcond\nthird",a', *BODY), pairs(BODY), [(3, 3)]),
        ("a.csv", lines('"fi\udcffrst\nsecond",a', *BODY), pairs(BODY), [(2, 2)]),
        ("a.csv", lines("plain\udcff,a", *BODY), pairs(BODY), [(2, 1)]),
        ("a.tsv", lines("plain\udcff\ta", *TABS, header="text\tlabel"), pairs(BODY), [(2, 1)]),
        ("a.csv", "\n  \n" + lines(*BODY, "", ""), pairs(BODY), []),
        ("a.csv", "sep=;\n" + lines("a, b;x", header="text;label"), [("a, b", "x")], []),
        ("a.csv", lines("a, b;x", "c, d;y", header="text;label"), [("a, b", "x"), ("c, d", "y")], []),
        ("a.csv", lines("a, b|x", header="text|label"), [("a, b", "x")], []),
        ("a.csv", lines("a, b", "c", '"d, ""e"""', header="text"), [("a, b",), ("c",), ('d, "e"',)], []),
        ("a.csv", lines("a, x", '"b, c", y', header="text, label"), [("a", "x"), ("b, c", "y")], []),
        ("a.csv", lines(*BODY, end="\r"), pairs(BODY), []),
        ("a.csv", lines(*BODY, end="\r\n"), pairs(BODY), []),
        ("a.tsv", lines(*TABS, header="text\tlabel", end="\r"), pairs(BODY), []),
        ("a.tab", lines('"a ""b"""\tx', '"c"\ty', header="text\tlabel"), [('a "b"', "x"), ("c", "y")], []),
        ("a.tab", lines('"a \\"b\\" c"\tx', header="text\tlabel"), [('a "b" c', "x")], []),
        ("a.tab", lines('a "b\tx', header="text\tlabel"), [('a "b', "x")], []),
        ("a.tab", lines("string\td", "meta\tclass", 'a "b\tx', header="text\tlabel"), [('a "b', "x")], []),
    ],
)
def test_rows_are_found_and_every_line_is_told(tmp_path, name, data, good, bad):
    found, rejected, account = read(tmp_path, name, data.encode("utf-8", "surrogateescape"), encoding="utf-8")
    if good is None:  # quoted line ends are not rows
        good = [tuple(value for value in row) for row in found]
        assert any("\n" in value for row in found for value in row)
    assert found == good and [(at, span) for at, span, _ in rejected] == bad
    assert account.read == account.records + account.blank + account.header + account.quarantined


@pytest.mark.parametrize(
    ("options", "data", "good"),
    [
        ({"escape": "\\"}, lines('"say \\"hi\\", he said",a'), [('say "hi", he said', "a")]),
        ({"quote": ""}, lines('"a" b,x', '"c,y'), [('"a" b', "x"), ('"c', "y")]),
        ({"quote": "'"}, lines("'a, b',x"), [("a, b", "x")]),
        ({"delimiter": ":"}, lines("a, b:x", header="text:label"), [("a, b", "x")]),
        ({"columns": ("text", "label")}, "a;x\nb;y\n", [("a", "x"), ("b", "y")]),
        ({"header": False}, "a,x\nb,y\n", [("a", "x"), ("b", "y")]),
    ],
)
def test_settings_decide_how_rows_are_cut(tmp_path, options, data, good):
    assert read(tmp_path, "a.csv", data, **options)[:2] == (good, [])


@pytest.mark.parametrize(
    ("name", "data", "note"),
    [
        ("a.csv", lines("a;x", header="text;label"), "semicolons between columns"),
        ("a.csv", lines("a, b", header="text"), "one column"),
        ("a.tsv", lines('"a"\tx', header="text\tlabel"), "format_options.csv.quote"),
        ("a.csv", lines('"a\nb",x'), "span several lines"),
        ("a.csv", lines("a, x", header="text, label"), "blanks behind its delimiters"),
        ("a.csv", lines("a,x", end="\r"), "CR alone"),
        ("a.csv", lines("a,1,2", header="text,n,n"), "columns of the same name"),
        ("a.tab", lines('"a"\tx', header="text\tlabel"), "quotes, which are left out"),
        ("a.txt", "Στο τέλος του δρόμου υπάρχει ένα παλιό σπίτι.\n".encode("cp1253"), "read as cp1253"),
        ("a.csv", lines(*BODY), ""),
    ],
)
def test_what_is_guessed_is_told(tmp_path, name, data, note):
    notes = read(tmp_path, name, data, fields=("text",))[2].notes
    assert note in " ".join(notes) and bool(notes) == bool(note)


def test_a_line_that_is_too_long_costs_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr("components.lib.data.decoding.LONGEST", 1000)
    data = lines(*BODY[:3], '"' + "long " * 1000 + '",a', *BODY[3:])
    found, rejected, _ = read(tmp_path, "a.csv", data)
    assert found == pairs(BODY) and [(at, span) for at, span, _ in rejected] == [(5, 1)]


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (lines("a,b,c", header="text,text,label"), "names a column twice"),
        (lines("more words,b"), "none of the columns"),
        (lines('"never closed', "more words and more"), "never closed"),
    ],
)
def test_a_table_of_no_use_is_refused_by_name(tmp_path, data, match):
    wanted = ("body",) if "more words,b" in data else ("text",)
    with pytest.raises(DataError, match=match):
        read(tmp_path, "a.csv", data, fields=wanted)
