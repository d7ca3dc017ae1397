"""Builds tiny committed branches: real transformers weights, outcomes of a grid of runs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    ModernBertConfig,
    ModernBertForSequenceClassification,
    ModernBertForTokenClassification,
    PreTrainedTokenizerFast,
)

from components.lib.artifacts import Key, Manifest
from components.lib.store import Draft, Store

CLASSES = ["cold", "hot", "mild"]
IOB2 = ["O", "B-place", "I-place"]
WORDS = ["ice", "snow", "fire", "sun", "rain", "wind", "the", "a", "is", "<b>here</b>"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LABELS, SEEDS = [20, 40, 80], [0, 1, 2]


def tokenizer() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate([*SPECIAL, *WORDS])}, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    names = dict(
        zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True)
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=32, **names)


def save_model(kind: str, folder: Path, seed: int) -> None:
    torch.manual_seed(seed)
    names = CLASSES if kind == "sequence_classification" else IOB2
    config = ModernBertConfig(
        vocab_size=len(SPECIAL) + len(WORDS), hidden_size=32, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=32, pad_token_id=0, cls_token_id=2, sep_token_id=3,
        bos_token_id=2, eos_token_id=3, id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )  # fmt: skip
    auto = {
        "sequence_classification": ModernBertForSequenceClassification,
        "token_classification": ModernBertForTokenClassification,
    }[kind]
    auto(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def examples(kind: str, n: int) -> pa.Table:
    generator = np.random.default_rng(5)
    words = [[WORDS[i] for i in generator.integers(0, len(WORDS), 6)] for _ in range(n)]
    common = {"example": np.arange(n), "id": [f"{i:032x}" for i in range(n)]}
    if kind == "sequence_classification":
        label = [CLASSES[i] for i in generator.integers(0, len(CLASSES), n)]
        return pa.table({**common, "text": [" ".join(row) for row in words], "label": label})
    return pa.table(
        {**common, "tokens": words, "label": [["B-place", "I-place", "O", "O", "O", "B-place"]] * n}
    )


def outcomes(kind: str, scored: dict[str, np.ndarray], gain: float) -> pa.Table:
    """Runs whose trunk start is right about `gain` more often; the selected one is `scored` itself."""
    n = len(next(iter(scored.values())))
    generator = np.random.default_rng(6)
    parts = []
    for start in ("trunk", "random"):
        for place, labels in enumerate(LABELS):
            for seed in SEEDS:
                share = 0.4 + 0.1 * place + (gain if start == "trunk" else 0.0) + generator.normal(0, 0.02)
                right = generator.random(n) < share
                columns: dict[str, Any] = dict(scored)
                if (start, labels, seed) != ("trunk", LABELS[-1], 0):
                    columns = _invented(kind, scored, right)
                parts.append(pa.table({"start": [start] * n, "labels": [labels] * n, "seed": [seed] * n,
                                       "example": np.arange(n), **columns}))  # fmt: skip
    return pa.concat_tables(parts)


def _invented(kind: str, scored: dict[str, np.ndarray], right: np.ndarray) -> dict[str, np.ndarray]:
    if kind == "sequence_classification":
        label = scored["label"]
        prediction = np.where(right, label, (label + 1) % len(CLASSES))
        return {"label": label, "prediction": prediction, "confidence": np.full(len(label), 0.6)}
    hits = right.astype(np.int64) * 2
    return {"tp": hits, "fp": 2 - hits, "fn": 2 - hits, "correct": hits + 4, "tokens": np.full(len(hits), 6)}


def commit(
    store: Store, kind: str, *, n: int = 120, seed: int = 0, gain: float = 0.15, spoil: bool = False
) -> Manifest:
    """A branch manifest as finetuning would commit it. `spoil` drops one row of the outcomes."""
    from components.lib import plugins

    key = Key("finetuning", 1, {"kind": kind, "seed": seed, "n": n, "gain": gain, "spoil": spoil})
    with store.draft(key) as draft:
        save_model(kind, draft.folder / "model", seed)
        table = examples(kind, n)
        scored = plugins.load("components.lib.tasks", kind).score(draft.folder / "model", table)
        rows = outcomes(kind, scored, gain)
        for path in sorted((draft.folder / "model").iterdir()):
            draft.add(f"model/{path.name}")
        _write(draft, "examples.parquet", table)
        _write(draft, "outcomes.parquet", rows.slice(1) if spoil else rows)
        draft.facts.update(
            task="weather", kind=kind, classes=CLASSES if kind == "sequence_classification" else IOB2,
            label_counts=LABELS, seeds=SEEDS, selected={"labels": LABELS[-1], "seed": 0},
        )  # fmt: skip
        return draft.commit()


def _write(draft: Draft, name: str, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    draft.write(name, buffer.getvalue(), rows=len(table))
