"""Text: which way a trunk looks, how long its inputs are, how many layers it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.storage.artifacts import Manifest
from components.preflight.modalities import dials
from components.preflight.references import Errors

TOKENIZER = "model/tokenizer.json"


def objective(name: str, says: Mapping[str, Any], pretraining: Any) -> Errors:
    """Whether the trunk looks where the objective needs it to."""
    causal, architecture = _architectures()["CAUSAL"], dials(pretraining)["architecture"]
    if "CAUSAL" in says and says["CAUSAL"] != (architecture in causal):
        side = "one that sees only what came before" if says["CAUSAL"] else "one that sees both sides"
        yield ConfigError(
            "the objective does not fit the architecture", where=f"pretraining.objective.{name}",
            found=architecture, expected=side,
            fix=f"set pretraining.trunk.architecture; those that look back only: {', '.join(causal)}",
        )  # fmt: skip


def warnings(pretraining: Any) -> Errors:
    """Nothing: no text trunk mixes the samples of a batch."""
    yield from ()


def task(config: Any, pretraining: Any, where: str) -> Errors:
    """Whether inputs fit the trunk, and whether it has the layers that would learn."""
    trunk = dials(pretraining)
    longest = max(512, trunk["sequence_length"])
    if config.max_length > longest:
        yield ConfigError(
            "inputs would be longer than the trunk has positions", where=f"{where}.max_length",
            found=config.max_length, expected=f"<= {longest}",
            fix="cut inputs, or raise pretraining.trunk.sequence_length",
        )  # fmt: skip
    layers = _architectures()["SIZES"].get(trunk["size"], (1 << 30,))[0]
    if config.mode == "partial" and config.layers > layers:
        yield ConfigError(
            "more layers would learn than the trunk has", where=f"{where}.layers", found=config.layers,
            expected=f"<= {layers} for size {trunk['size']}", fix="mode: full lets everything learn",
        )  # fmt: skip


def follow(trunk: Manifest) -> dict[str, Any]:
    """Its tokenizer, whose vocabulary its weights know."""
    if TOKENIZER not in trunk.names():
        return {}
    return {"kind": "given", "tokenizer": f"{trunk.uri}/{TOKENIZER}", "lowercase": False}


def _architectures() -> dict[str, Any]:
    """Constants of the text trunks: which are causal, how many layers a size has."""
    return plugins.declared("components.lib.models.text", "architectures").constants
