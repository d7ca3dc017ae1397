"""Settings of each stage that only pairs have; each tower's stand under the name of its modality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.core.settings import setting
from components.lib.modalities.image import settings as image
from components.lib.modalities.text import settings as text


@dataclass(frozen=True)
class Ingestion(image.Ingestion):
    """Rules and near copies of images, and rules of captions."""

    filters: dict[str, dict[str, Any]] = setting(
        {
            "file_name": {},
            "length": {"minimum": 1, "maximum": 256},
            "letters": {"minimum": 0.5},
            "repetition": {},
            "symbols": {},
        },
        "quality rules of captions and their options, as those of texts",
    )


@dataclass(frozen=True)
class Tokenization:
    """The one size of all images, and the tokenizer of captions."""

    image: image.Tokenization = field(default_factory=image.Tokenization)
    text: text.Tokenization = field(default_factory=text.Tokenization)

    def check(self) -> Iterator[ConfigError]:
        """What each part has to say."""
        yield from self.text.check()


@dataclass(frozen=True)
class Pretraining:
    """Two towers, and the space in which they meet."""

    image: image.Pretraining = field(default_factory=image.Pretraining)
    text: text.Pretraining = field(default_factory=text.Pretraining)
    width: int = setting(128, "of the space in which images and captions meet", minimum=2, maximum=8192)

    def check(self) -> Iterator[ConfigError]:
        """What each part has to say."""
        yield from self.text.check()


@dataclass(frozen=True)
class Finetuning:
    """How branches read captions, and speak of classes."""

    max_length: int = setting(64, "tokens to which captions are cut", minimum=4)
    prompts: tuple[str, ...] = setting(
        ("{}",), "how a class is spoken of, {} being its name; of several the mean counts"
    )

    def check(self) -> Iterator[ConfigError]:
        """Whether each prompt has a place for the class."""
        for prompt in self.prompts:
            if prompt.count("{}") != 1:
                what, expected = "a prompt has no one place for the class", "one {}, as in 'a photo of a {}'"
                yield ConfigError(what, where="finetuning.prompts", found=prompt, expected=expected)
        if not self.prompts:
            yield ConfigError("there is no prompt", where="finetuning.prompts", expected="one or more")
