"""What a report says of the data, in a way of its own for each kind: one file a modality.

A modality declares UNIT, what a document is, and SEEN, what a trunk reads; `figures(facts)`, tiles of its
own of the corpus; and `tokens(facts) -> (heading, pairs)`, what the trunk read.
"""

from __future__ import annotations

from typing import Any

from components.lib.core import plugins


def load(name: str) -> Any:
    """The file of a modality; raises ConfigError that lists those that exist."""
    return plugins.load(__name__, name)
