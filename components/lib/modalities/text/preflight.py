"""What only a run on text can get wrong: inputs longer than the trunk, more layers than it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.modalities.text.settings import WORDS_UNKNOWN
from components.lib.storage.artifacts import Manifest

TOKENIZER = "model/tokenizer.json"
USUAL = 512  # tokens of a row, at most, unless settings say more


def task(config: Any, dials: Mapping[str, Any], where: str) -> Iterator[ConfigError]:
    """Whether inputs fit the trunk, and whether it has the layers that would learn."""
    longest = dials.get("positions") or max(512, dials["sequence_length"])  # those of published weights
    if config.own.max_length > longest:
        yield ConfigError(
            "inputs would be longer than the trunk has positions",
            where=f"{where}.max_length",
            found=config.own.max_length,
            expected=f"<= {longest}",
            fix="cut inputs, or raise pretraining.trunk.sequence_length",
        )
    depth = dials["depth"] if dials["architecture"] == "static" else 1
    if not depth and (config.mode == "lora" or getattr(config.adaptation, "layers", 0)):
        yield ConfigError(
            "static embeddings of depth 0 have no layer that could learn",
            where=f"{where}.mode",
            found=config.mode,
            fix="set pretraining.trunk.depth to 1, or mode to full or frozen",
        )


def layers(dials: Mapping[str, Any]) -> int:
    """How many layers a trunk has that can be frozen one by one; static embeddings, those above them."""
    if "layers" in dials:  # of published weights
        return int(dials["layers"])
    if dials["architecture"] == "static":
        return int(dials["depth"])
    sizes = plugins.declared("components.lib.models.text", "architectures").constants["SIZES"]
    return int(sizes[dials["size"]][0]) if dials["size"] in sizes else 0


def published(trunk: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings `pretraining.trunk` with published weights: rows as long as they are used with.

    Raises:
        ConfigError: if rows would be longer than they have positions.
    """
    asked = trunk.get("sequence_length", min(facts["longest"], USUAL))
    if asked > facts["positions"]:
        raise ConfigError(
            "rows would be longer than the published weights have positions",
            where="pretraining.trunk.sequence_length",
            found=asked,
            expected=f"<= {facts['positions']}",
        )
    return {**trunk, "sequence_length": asked}


def follow(trunk: Manifest) -> dict[str, Any]:
    """Its tokenizer, whose vocabulary its weights know."""
    if TOKENIZER not in trunk.names():
        return {}
    given = {"kind": "given", "tokenizer": f"{trunk.uri}/{TOKENIZER}", "lowercase": False, "complete": False}
    static = trunk.key.config.get("trunk", {}).get("architecture") == "static"  # it ignores [UNK]
    return {**given, "unknown": WORDS_UNKNOWN} if static else given
