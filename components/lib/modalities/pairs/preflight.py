"""What only a run on pairs can get wrong: what its towers can, and captions longer than theirs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.storage.artifacts import Manifest

TOKENIZER = "model/text/tokenizer.json"
PROCESSOR = "model/image/preprocessor_config.json"


def task(config: Any, dials: Mapping[str, Any], where: str) -> Iterator[ConfigError]:
    """Whether captions fit the text tower."""
    longest = (
        max(512, (dials.get("text") or {}).get("sequence_length", 0))
        if isinstance(dials.get("text"), dict)
        else 512
    )
    if config.own.max_length > longest:
        yield ConfigError(
            "captions would be longer than the text tower has positions",
            where=f"{where}.max_length",
            found=config.own.max_length,
            expected=f"<= {longest}",
        )


def follow(trunk: Manifest) -> dict[str, Any]:
    """The canvas and the tokenizer that its weights know."""
    found: dict[str, Any] = {}
    if PROCESSOR in trunk.names():
        found["image"] = {"canvas": f"{trunk.uri}/{PROCESSOR}"}
    if TOKENIZER in trunk.names():
        found["text"] = {"kind": "given", "tokenizer": f"{trunk.uri}/{TOKENIZER}"}
    return found
