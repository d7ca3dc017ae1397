"""What may be shown: no secrets of addresses, and nothing that a terminal or a log obeys."""

from __future__ import annotations

import re

PREFIX = "TRUNKLINE_SECRET_"  # of the variables that an address may name instead of a secret
_USER = re.compile(r"(?<=://)[^/\s@?#]+@")
_SIGNED = re.compile(
    r"(?i)(?<=[?&])([a-z0-9_-]*(?:signature|credential|token|secret|password)|sig|key|api_?key|access_?key)"
    rf"=(?!\$\{{{PREFIX}|\*\*\*)[^&\s#'\"]+"
)
# Escape sequences, backspaces, text that runs backwards, false lines, surrogates that cannot be printed.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE = re.compile(r"\n(?! {4})")


def plain(value: object) -> str:
    """Text that is safe to print: secrets hidden, control characters spelled out, further lines indented."""
    text = _SIGNED.sub(r"\1=***", _USER.sub("***@", str(value).replace("\r\n", "\n")))
    return _LINE.sub("\n    ", _CONTROL.sub(_spelled, text))


def reveals(address: str) -> bool:
    """Whether an address holds a user, a password, a token or a signature."""
    return bool(_USER.search(address) or _SIGNED.search(address))


def _spelled(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
