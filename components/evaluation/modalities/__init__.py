"""What is shown of an example, in a way of its own for each kind of data: one file a modality.

A modality declares COLUMN, which of the table of examples, and `excerpt(value) -> (name, JSON)`.
"""

from __future__ import annotations

from typing import Any

from components.lib.core import plugins


def load(name: str) -> Any:
    """The file of a modality; raises ConfigError that lists those that exist."""
    return plugins.load(__name__, name)
