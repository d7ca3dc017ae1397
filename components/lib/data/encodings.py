"""Character encoding detection: UTF-8, UTF-16 and UTF-32 by their form, 8-bit code pages by chardet's guess.

A guess is told with its confidence, and one that is not sure is refused: a wrong code page gives other
letters everywhere, and nothing that comes later can see it.
"""

from __future__ import annotations

import codecs
import io
import re
import warnings
from functools import cache
from typing import Any

from components.lib.core.errors import ConfigError, DataError

HEAD = 1 << 18  # bytes from the beginning of a file that are looked at
WINDOW, WINDOWS = 1 << 15, 8  # bytes, and in how many further places, of a file that can be jumped in
LEAST = 0.12  # confidence: a lone word in 8 bits has less, and with it some are taken for another language
ROUND = 5  # words at both sides of one with an 8-bit letter: all else of the text may be plain English
MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
ANSI = tuple(f"cp{number}" for number in range(1250, 1259))
PAGES = (
    *ANSI,
    *(f"iso8859-{part}" for part in (1, 2, 5, 6, 7, 8, 9, 13, 15)),
    *("koi8-r", "koi8-u", "cp866", "cp874", "cp437", "cp850", "cp852", "mac-roman", "mac-cyrillic"),
    *("cp932", "euc-jp", "gb18030", "big5", "cp949", "euc-kr"),
)  # that people have: a rare one, named in the place of these, costs more than it finds
WIDER = {"iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874"}
INSIDE = re.compile(rb"[A-Za-z][\x80-\x90\x93-\x95\x98-\xff][A-Za-z]")  # no apostrophe and no dash: a letter
SETTING = "'encoding' (ingestion.encoding; of labelled data: encoding beside its source)"


def known(encoding: str) -> str:
    """The codec's own name; raises ConfigError if Python has no such codec."""
    try:
        found = codecs.lookup(encoding).name
    except LookupError:
        raise ConfigError("there is no such encoding", where="encoding", found=encoding) from None
    return {"utf-16": "utf-16-le", "utf-32": "utf-32-le", "utf-8-sig": "utf-8"}.get(found, found)


def mark(head: bytes) -> tuple[str, int]:
    """The encoding that a byte order mark names, and its length; ('', 0) without one."""
    return next(((name, len(bytes_)) for bytes_, name in MARKS if head.startswith(bytes_)), ("", 0))


def detect(head: bytes, file: Any, where: str) -> tuple[str, int, str]:
    """The encoding of a file that begins with `head`, the length of its byte order mark, a note on a guess.

    A file in which most lines with non-ASCII bytes are UTF-8 is UTF-8, so that one broken line does not
    turn all the others into mojibake.

    Args:
        file: from which more is read where it can be jumped in; it is left where it was.

    Raises:
        DataError: if it is in 8 bits and no code page is likely enough.
    """
    named, skip = mark(head)
    if named:
        return named, skip, ""
    if b"\0" in head and (wide := _wide(head)):
        return wide, 0, f"read as {wide}, by its form: it has no byte order mark"
    lines = _special(head, begun=True, ended=len(head) < HEAD)
    lines += [line for part in _windows(file, len(head)) for line in _special(part, begun=False, ended=False)]
    if 2 * sum(_is_utf8(line) for line in lines) >= len(lines):
        return "utf-8", 0, ""
    name, confidence, language = _guess([line for line in lines if not _is_utf8(line)])
    guess = f"{name}, with a confidence of {confidence:.2f}"
    if not name or confidence < LEAST:
        what, found = (
            "the encoding of a file is not known: it is not UTF-8",
            guess if name else "bytes of no text",
        )
        fix = f"set {SETTING}, or write the file in UTF-8"
        raise DataError(what, where=where, found=found, expected=f"at least {LEAST}", fix=fix)
    spoken = f" ({language})" if language else ""
    return name, 0, f"read as {guess}{spoken}, a guess: if letters are wrong, set {SETTING}"


def _wide(head: bytes) -> str:
    """UTF-16 or UTF-32 without a mark: what decodes to text, most of it ASCII such as blanks; or ''."""
    best, most = "", 0
    if 10 * head.count(0) < len(head) and _is_utf8(head[: codecs.utf_8_decode(head, "replace", False)[1]]):
        return ""  # UTF-8 in which a few NULs stand
    for name in WIDE:
        try:
            text = codecs.getincrementaldecoder(name)().decode(head)
        except UnicodeDecodeError:
            continue
        plain = sum(character.isascii() for character in text)
        if plain > most and not any(c < " " and c not in "\t\n\r\f" for c in text):
            best, most = name, plain
    return best


def _windows(file: Any, start: int) -> list[bytes]:
    """Parts of the rest of a file that can be jumped in, its end among them."""
    if start < HEAD or not isinstance(getattr(file, "raw", None), io.FileIO):
        return []
    here, parts = file.tell(), []
    last = file.seek(0, io.SEEK_END) - WINDOW
    for number in range(WINDOWS):
        file.seek(max(start, start + (last - start) * number // (WINDOWS - 1)))
        parts.append(file.read(WINDOW))
    file.seek(here)
    return parts


def _special(part: bytes, *, begun: bool, ended: bool) -> list[bytes]:
    """The lines with a non-ASCII byte; where one is cut at an end of the part, it is cut at a character."""
    if part.isascii():
        return []
    lines = part.replace(b"\r", b"\n").split(b"\n")
    if not begun:
        lines[0] = re.sub(rb"^[^\0-/]*", b"", lines[0])  # no second byte of two is so small
    if not ended:
        lines[-1] = lines[-1][: codecs.utf_8_decode(lines[-1], "replace", False)[1]]
    return [line for line in lines if not line.isascii()]


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _guess(lines: list[bytes]) -> tuple[str, float, str]:
    """A code page (or '') of lines that are not UTF-8, chardet's confidence in it, and its language.

    Signs such as quotation marks and dashes, if there is nothing else, stand in all code pages of Windows.
    """
    used = {byte for line in lines for byte in line if byte >= 0x80}
    if used <= _signs() and not any(INSIDE.search(line) for line in lines):
        return "cp1252", 1.0, ""
    from chardet import detect_all

    words = [word for line in lines for word in (*line.split(), b"\n")]
    near, last = list[bytes](), -1
    for place, word in enumerate(words):
        if not word.isascii():
            near += words[max(last + 1, place - ROUND) : place + ROUND + 1]
            last = place + ROUND
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it names none, if no one fits
        found = detect_all(b" ".join(near), ignore_threshold=True, include_encodings=PAGES)
    best = found[0]
    if not best["encoding"]:
        return "", 0.0, ""
    equal = [known(str(one["encoding"])) for one in found if one["confidence"] == best["confidence"]]
    name = "cp1252" if equal[0] == "iso8859-15" and "cp1252" in equal else WIDER.get(equal[0], equal[0])
    return name, float(best["confidence"]), str(best["language"] or "")


@cache
def _signs() -> frozenset[int]:
    """Bytes above ASCII that are one and the same sign, and no letter, in every code page of Windows."""
    signs = set()
    for byte in range(0x80, 0x100):
        meant = {bytes([byte]).decode(page, "replace") for page in ANSI}
        if len(meant) == 1 and not meant & {"\ufffd"} and not "".join(meant).isalpha():
            signs.add(byte)
    return frozenset(signs)
