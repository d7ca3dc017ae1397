"""Made-up texts: documents of a topic, and sentences with names in them."""

import random
from typing import Any

from components.lib.data.sources import sample

INGESTION: dict[str, Any] = {"near_duplicates": 0.8}
TOKENIZATION = {"kind": "wordpiece", "vocabulary_size": 300}
TRUNK = {"size": "nano", "sequence_length": 24}
LABELLED = {
    "token_classification": {"text": "tokens", "label": "labels"},
    "regression": {"label": "length"},
    "text_generation": {"prompt": "context", "answer": "label"},
    "multi_label_classification": {"labels": "tags"},
    "sentence_pair": {"label": "label"},
}


def record(draw: random.Random) -> dict[str, Any]:
    """Text and topic of one, words and names of another, and a question for one of the names."""
    found = {**sample._document(draw), **sample._sentence(draw)}
    other = sample._document(draw)
    pair = {"sentence1": found["text"], "sentence2": other["text"]}
    said = [
        word for word in ("planet", "garlic", "soil", "violin", "anchor", "nurse") if word in found["text"]
    ]
    numbers = {"score": float(found["label"] == other["label"]), "length": float(len(found["text"]))}
    numbers |= {"query": " ".join(found["text"].split()[:6]), "document": found["text"]}
    tags = {"tags": [*said, found["label"]]}
    return {**found, **asked(found["tokens"], found["labels"]), **pair, **numbers, **tags}


def asked(words: list[str], labels: list[str]) -> dict[str, Any]:
    """SQuAD's fields: which person, place or organisation a sentence names first; or none."""
    kind = next((name[2:] for name in labels if name != "O"), "person")
    inside = [word for word, name in zip(words, labels, strict=True) if name[2:] == kind]
    context, answers = " ".join(words), []
    if inside:
        text = inside[0] if len(inside) < 2 or kind != "person" else " ".join(inside[:2])
        text = text if text in context else inside[0]
        answers = [{"text": text, "answer_start": context.index(text)}]
    return {"question": f"Which {kind} is it?", "context": context, "answers": answers}


def longer(record: dict[str, Any]) -> dict[str, Any]:
    """The same record with more than any model reads: 24,000 words and more."""
    many = 24_000 // len(record["tokens"]) + 1
    words = {name: record[name] * many for name in ("tokens", "labels")}
    words["context"] = " ".join(words["tokens"])
    pair = {name: f"{record[name]} " * 800 for name in ("sentence1", "sentence2", "query", "document")}
    return {
        **record,
        **words,
        **pair,
        "text": f"{record['text']} " * (24_000 // len(record["text"].split()) + 1),
    }


def sent(value: str | list[str]) -> str:
    """An input as a client sends it."""
    return value if isinstance(value, str) else " ".join(value)


BROKEN = ("", " \t", None)  # that are refused where a model is served
