"""Encodings that people still have: each read right, or refused with the setting that decides."""

import gzip
from pathlib import Path

import pytest

from components.lib.core.errors import DataError
from components.lib.data import encodings
from components.lib.data.formats import Account, Layout, Rejected
from components.lib.data.sources import read_records

# The same remark in each language, and the code pages that it is found in.
FILE = Path(__file__).with_name("sentences.tsv")
ROWS = [line.split("\t") for line in FILE.read_text(encoding="utf-8").splitlines()[1:]]
PAIRS = [(language, page) for language, pages, _ in ROWS for page in pages.split()]
TEXTS = {language: text for language, _, text in ROWS}
PLAIN = "The lamp was lit again and nobody knew by whom, so we all went home and slept. "


def read(path: Path, data: bytes, encoding: str = "auto") -> tuple[list, Account]:
    path.write_bytes(data)
    accounts: list[Account] = []
    layout = Layout(options={"txt": {"unit": "line"}}, encoding=encoding)
    found = list(read_records(str(path), layout, accounts))
    return [one if isinstance(one, Rejected) else one.fields["text"] for one in found], accounts[0]


@pytest.mark.parametrize(("language", "page"), PAIRS)
def test_sentences_in_their_code_page(tmp_path, language, page):
    """By themselves, and among plain English; the guess is told with its confidence."""
    for lines in ([TEXTS[language]] * 2, [PLAIN * 2 + TEXTS[language] + PLAIN] * 3):
        found, account = read(tmp_path / "a.txt", "\n".join(lines).encode(page))
        assert found == lines
        assert any("with a confidence of" in note for note in account.notes)


def test_what_stands_far_from_the_head_counts(tmp_path):
    """In a file that is plain for longer than is read of its head, whether it can be jumped in or not."""
    lines = [PLAIN.strip()] * 5000 + [TEXTS["greek"]] * 2000
    assert read(tmp_path / "a.txt", "\n".join(lines).encode("cp1253"))[0] == lines
    lines = [PLAIN.strip()] * 1000 + [TEXTS["greek"]] * 6000
    assert read(tmp_path / "a.txt.gz", gzip.compress("\n".join(lines).encode("cp1253")))[0] == lines


@pytest.mark.parametrize("cut", range(4))
@pytest.mark.parametrize("language", ["chinese", "russian", "thai"])
def test_utf8_is_utf8_wherever_the_sample_is_cut(tmp_path, language, cut):
    text = "x" * cut + TEXTS[language] * 9000  # one line
    found, account = read(tmp_path / "a.txt", text.encode())
    assert found == [text] and not account.notes


def test_a_guess_that_is_not_sure_is_refused(tmp_path):
    for text in ("Möller", "é", "5 € a piece\n3 € for two\n"):
        with pytest.raises(DataError, match="encoding of a file is not known") as caught:
            read(tmp_path / "a.txt", text.encode("cp1252"))
        assert f"at least {encodings.LEAST}" in str(caught.value) and "set 'encoding'" in caught.value.fix
        assert read(tmp_path / "a.txt", text.encode("cp1252"), "cp1252")[0] == text.splitlines()


def test_bytes_of_no_text_are_refused(tmp_path):
    data = bytes(range(0x80, 0x100)) * 50
    with pytest.raises(DataError, match="encoding of a file is not known"):
        read(tmp_path / "a.txt", data)
