"""Tiny Hugging Face models, and the manifests of the stages behind them."""

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from components.lib.core import bootstrap
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.store import Store

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "trunk", "carries", "branches", "."]


def save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def save_model(folder: Path, kind: str, classes: tuple[str, ...] = (), seed: int = 0) -> None:
    """A ModernBERT of one layer: `AutoModel`, or with the head of a task."""
    import torch
    from transformers import (
        ModernBertConfig,
        ModernBertForSequenceClassification,
        ModernBertForTokenClassification,
        ModernBertModel,
    )

    torch.manual_seed(seed)
    made = {
        "trunk": ModernBertModel,
        "sequence_classification": ModernBertForSequenceClassification,
        "token_classification": ModernBertForTokenClassification,
    }[kind]
    labels: dict[str, Any] = {}
    if classes:
        labels = {
            "id2label": dict(enumerate(classes)),
            "label2id": {name: i for i, name in enumerate(classes)},
        }
    ids = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    size = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    made(ModernBertConfig(vocab_size=len(WORDS), **size, **ids, **labels)).save_pretrained(folder)
    save_tokenizer(folder)


@functools.cache
def saved(kind: str, classes: tuple[str, ...], seed: int) -> Path:
    """A folder with the model, made once a session."""
    folder = Path(tempfile.mkdtemp(prefix="trunkline-test-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    save_model(folder, kind, classes, seed)
    return folder


def commit(
    store: Store,
    stage: str,
    inputs: dict[str, Manifest],
    facts: dict[str, Any],
    *,
    model: tuple[str, tuple[str, ...], int] | None = None,
    files: dict[str, str | bytes] | None = None,
    config: dict[str, Any] | None = None,
    raw: dict[str, str] | None = None,
    measured: dict[str, Any] | None = None,
) -> Manifest:
    """Commits a stage's output as the stage would: `model` is (kind, classes, seed)."""
    references = {name: manifest.reference for name, manifest in inputs.items()}
    key = Key(stage, 1, config or {}, {**references, **(raw or {})})
    with store.draft(key) as draft:
        if model is not None:
            for path in sorted(saved(*model).iterdir()):
                draft.write(f"model/{path.name}", path.read_bytes())
        for name, data in (files or {}).items():
            draft.write(name, data)
        draft.facts, draft.measured = facts, measured or {}
        return draft.commit()


def trunk(store: Store, seed: int = 0, name: str = "20 newsgroups <b>") -> Manifest:
    """Corpus, tokens and a trunk."""
    facts = {
        "modality": "text",
        "documents": {"train": 10, "validation": 2},
        "characters": {"train": 100},
        "name": name,
    }
    corpus = commit(store, "ingestion", {}, facts, config={"source": name}, raw={"sources": "0" * 64})
    tokens = commit(
        store,
        "tokenization",
        {"corpus": corpus},
        {"modality": "text", "vocab_size": len(WORDS), "tokens": {"train": 50}},
        files={"tokenizer/tokenizer.json": "{}"},
    )
    rows = [{"step": step, "loss": 3.0 / step, "learning_rate": 1e-3} for step in range(1, 6)]
    rows.append({"step": 5, "validation/loss": 0.7})
    return commit(
        store,
        "pretraining",
        {"tokens": tokens},
        {
            "modality": "text",
            "architecture": "modernbert",
            "parameters": 12_345,
            "steps": 5,
            "samples": 40,
            "tokens": 400,
            "objective": {"masked_lm": {"weight": 1.0}},
            "loss": {"train": 0.6, "validation": 0.7},
        },
        model=("trunk", (), seed),
        files={"history.jsonl": "\n".join(map(json.dumps, rows))},
        config={"seed": seed, "objectives": {"masked_lm": {"ratio": 0.3}}},
    )


CLASSES = ("atheism", "autos")


def branch(store: Store, trunk: Manifest, seed: int = 0, kind: str = "sequence_classification") -> Manifest:
    """A branch of `trunk`."""
    classes = CLASSES if kind == "sequence_classification" else ("O", "B-x", "I-x")
    facts = {
        "task": "topics",
        "kind": kind,
        "modality": "text",
        "classes": list(classes),
        "label_counts": [20],
        "seeds": [0],
    }
    return commit(
        store,
        "finetuning",
        {"trunk": trunk},
        facts,
        model=(kind, classes, seed),
        config={"seed": seed, "task": kind},
    )


COMPARISON: dict[str, Any] = {
    "seeds": [0],
    "prices": [],
    "sizes": {},
    "stopped": [],
    "left_out": {},
    "selected": {"labels": 20, "seed": 0},
    "tone": "warn",
    "sentence": "Cannot tell.",
    "choices": [{"count": 20, "start": "trunk", "why": "alone", "against": [], "by_cost": False}],
}
FACTS: dict[str, Any] = {
    "modality": "text",
    "primary": "accuracy",
    "confidence": 0.95,
    "replicates": 2000,
    "examples": 500,
    "resampled": ["examples", 500, 2000, 0],
    "metric": {"accuracy": {"better": "higher", "low": 0.0, "high": 1.0}},
    "confusion": None,
}


def evaluation(
    store: Store,
    branch: Manifest,
    champion: tuple[Manifest, str] | None = None,
    accuracy: float = 0.8,
    difference: tuple[float, float, float] = (0.0, -0.005, 0.005),
    task: str = "topics",
    model: str = "news-topics",
    linear: tuple[float, float, float] | None = None,
    constant: dict[str, Any] | None = None,
    more: dict[str, Any] | None = None,
    drawn: int | None = None,
) -> Manifest:
    """What evaluation hands over; `champion`: its branch and version; `drawn`: wrong ones among 500, of which
    replicates are kept; `linear`: the difference from it; `more`: facts beside."""
    files: dict[str, str | bytes] = {}
    if drawn is not None:
        files[bootstrap.FILE], accuracy = _replicates(drawn)
    entry = {"value": accuracy, "low": accuracy - 0.02, "high": accuracy + 0.02}
    gap = dict(zip(("value", "low", "high"), difference, strict=True))
    rival = champion and {"name": model, "version": champion[1], "reference": champion[0].reference}
    facts = FACTS | {
        "task": task,
        "kind": branch.facts["kind"],
        "model": model,
        "classes": branch.facts["classes"],
        "metrics": {"accuracy": entry, "macro_f1": {"value": None, "low": None, "high": None}},
        "champion": rival,
        "champion_metrics": {"accuracy": entry} if champion else None,
        "difference": {"accuracy": gap} if champion else None,
        "comparison": _compared(entry, linear),
        "constant": constant,
        **(more or {}),
    }
    inputs = {"branch": branch, **({"champion": champion[0]} if champion else {})}
    config = {"model": model, "accuracy": accuracy}
    return commit(store, "evaluation", inputs, facts, config=config, files=files)


def _compared(entry: dict[str, float], linear: tuple[float, float, float] | None) -> dict[str, Any]:
    """The comparison of starts, with a linear one if the difference from it is given."""
    starts, gaps = {"trunk": entry}, []
    if linear:
        starts["linear"] = entry | {"value": entry["value"] - linear[0]}
        against = {"of": "trunk", "over": "linear", "detectable": 0.1}
        gaps = [against | dict(zip(("value", "low", "high"), linear, strict=True))]
    return COMPARISON | {
        "starts": list(starts),
        "labels": [{"count": 20, "starts": starts, "differences": gaps}],
    }


def _replicates(wrong: int) -> tuple[bytes, float]:
    right = (np.arange(500) >= wrong).astype(float)

    def statistic(weights: bootstrap.Floats) -> dict[str, bootstrap.Floats]:
        return {"accuracy": weights @ right / 500, "macro_f1": np.full(len(weights), np.nan)}

    values, drawn = bootstrap.point(statistic, 500), bootstrap.replicate(statistic, 500, 2000, 0)
    return bootstrap.packed({name: (values[name], drawn[name]) for name in values}), values["accuracy"]
