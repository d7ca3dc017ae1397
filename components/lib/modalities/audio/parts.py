"""Parts of recordings: what `start` and `end` of a record mean, and how a part is cut out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from components.lib.core.errors import DataError
from components.lib.modalities.audio.recordings import MOST, encoded, opened


def part(record: Any, fields: Mapping[str, str]) -> str:
    """'start end' in seconds, where a record names a part of its recording; '' for all of it.

    Raises:
        DataError: if its times are not numbers, or in the wrong order.
    """
    given = [record.fields.get(fields[name]) for name in ("start", "end")]
    if all(value is None or value == "" for value in given):
        return ""
    try:
        start, end = (float(value) if value not in (None, "") else None for value in given)
        start, end = start or 0.0, math.inf if end is None else end
    except (TypeError, ValueError):
        start, end = 1.0, 0.0
    if not 0 <= start < end:
        found, expected = f"{given[0]!r} to {given[1]!r}"[:80], "0 <= start < end, in seconds"
        raise DataError("the part of a recording is none", found=found, expected=expected)
    return f"{start!r} {end!r}"


def parted(data: bytes, part: str) -> bytes:
    """The part of an audio file that `part` has named; raises DataError as `cut` does."""
    if not part:
        return data
    start, end = map(float, part.split())
    return cut(data, start, min(end, 1e9))


def cut(data: bytes, start: float, end: float) -> bytes:
    """The part of an audio file between two times in seconds, as a WAV file of the same rate and channels.

    16 bits stay 16 bits, and 24 bits 24; what was compressed by loss, or is floats, becomes floats.

    Raises:
        DataError: as `decode` does, or if there is no such part.
    """
    with opened(data) as file:
        first, last = round(start * file.samplerate), min(round(end * file.samplerate), file.frames)
        if not 0 <= first < last or (last - first) * file.channels > MOST:
            found, expected = f"{start:g} s to {end:g} s", f"within {file.frames / file.samplerate:g} s"
            raise DataError("the recording has no such part", found=found, expected=expected)
        subtype = file.subtype if file.subtype in ("PCM_16", "PCM_24", "PCM_U8", "PCM_32") else "FLOAT"
        try:
            file.seek(first)
            samples = file.read(
                last - first, dtype="int32" if subtype != "FLOAT" else "float32", always_2d=True
            )
        except (RuntimeError, OSError) as error:
            raise DataError("the recording cannot be decoded", found=str(error)[:80]) from error
        return encoded(samples, file.samplerate, subtype)
