"""What a trunk reads, made of a corpus in a way of its own for each kind of data: one file a modality.

A modality declares

    Config                              those of `components.tokenization.config` and its own
    plan(config) -> identity, build     what decides the output, and build(store, corpus, draft)

`Config` is read where nothing but the standard library is installed, so that everything else is imported
by the functions that need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.core import plugins
from components.lib.core.settings import from_dict


def load(name: str) -> Any:
    """The file of a modality; raises ConfigError that lists those that exist."""
    return plugins.load(__name__, name)


def configured(values: Mapping[str, Any], where: str = "tokenization") -> Any:
    """The checked settings of tokenization for the modality that they name."""
    return from_dict(load(str(values.get("modality", "text"))).Config, values, where)
