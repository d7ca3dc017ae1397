"""Group-aware split: the group (patient, speaker, thread, file) that a document belongs to."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from hashlib import blake2b

from components.lib.core.settings import did_you_mean
from components.lib.data.formats import Record, Rejected, is_name, rejected

FILE = "@file"  # the name of a group: the file that a record is in


def fields_of(fields: Mapping[str, str], group: str) -> tuple[str, ...]:
    """The fields of a record that are asked for, each once; () for all, also where one is a pattern."""
    names = [*fields.values(), *([group] if group not in ("", FILE) else [])]
    return tuple(dict.fromkeys(names)) if all(map(is_name, names)) else ()


def group_of(record: Record, name: str, source: str) -> bytes | Rejected:
    """128 bits of the text of a record's group; b'' if no group is asked for.

    A number is its shortest text, 7 for 7.0 too, so that files of other formats name the same group.

    Args:
        name: of the field.
        source: name of the record's file.
    """
    if not name:
        return b""
    value = source if name == FILE else record.fields.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    absent = value is None or (isinstance(value, float) and math.isnan(value))
    text = "" if absent else unicodedata.normalize("NFC", str(value)).strip()
    if isinstance(value, list | dict | bytes):
        return rejected(record.where, f"its group '{name}' is not a word or number", value)
    if not text:
        fix = did_you_mean(name, sorted(map(str, record.fields)))
        return rejected(record.where, f"it names no group '{name}'; {fix}", record.fields)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
