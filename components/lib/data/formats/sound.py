"""Audio files: one record a file. The folder that it is in names its class, or a pattern its fields.

pattern: '(?P<label>[0-9])_(?P<speaker>[a-z]+)_[0-9]+'     label and speaker of 7_jackson_32.wav
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from components.lib.core.errors import ConfigError
from components.lib.core.settings import setting
from components.lib.data.formats import Record, Rejected
from components.lib.data.record_layouts import whole
from components.lib.data.streams import Stream

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64", ".caf")
HOLDS = "audio"
WHOLE = True
LARGEST = 1 << 28  # bytes of a file


@dataclass(frozen=True)
class Config:
    """What names of files say."""

    pattern: str = setting("", "regular expression whose named groups are fields, found in a file's name")

    def check(self) -> Iterator[ConfigError]:
        """Whether it is one that names fields."""
        import re  # where a plugin's settings are read, nothing else of its file is

        try:
            if self.pattern and not re.compile(self.pattern).groupindex:
                yield ConfigError(
                    "a pattern names no field", where="sound.pattern", expected="(?P<label>...)"
                )
        except re.error as error:
            yield ConfigError("a pattern is not a regular expression", where="sound.pattern", found=error)


def read(stream: Stream, config: Config, encoding: str) -> Iterator[Record | Rejected]:
    """The fields `audio` (the bytes), `label` (the name of the folder), and those of the pattern."""
    for item in whole(stream, HOLDS, LARGEST):
        if isinstance(item, Record) and config.pattern:
            name = stream.name.rpartition("/")[2]
            if found := _compiled(config.pattern).search(name):
                item = Record({**item.fields, **found.groupdict()}, item.where)
        yield item


@lru_cache(16)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
