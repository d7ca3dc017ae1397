"""Made-up texts: documents of a topic, and sentences with names in them."""

import random
from typing import Any

from components.lib.data.sources import sample

INGESTION: dict[str, Any] = {"near_duplicates": 0.8}
TOKENIZATION = {"kind": "wordpiece", "vocabulary_size": 300}
TRUNK = {"size": "nano", "sequence_length": 24}
LABELLED = {"token_classification": {"text": "tokens", "label": "labels"}}


def record(draw: random.Random) -> dict[str, Any]:
    """Text and topic of one, words and names of another."""
    return {**sample._document(draw), **sample._sentence(draw)}
