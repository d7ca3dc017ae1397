"""Builds tiny committed branches: real transformers weights, outcomes of a grid of runs."""

import io
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.lib.registry.publishing import publish
from components.lib.registry.registered_models import Registered, Registry
from components.lib.registry.tracking import track
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Draft, Store
from tests import models
from tests.components.evaluation.scoring import score

CLASSES = ["cold", "hot", "mild"]
IOB2 = ["O", "B-place", "I-place"]
WORDS = [*models.WORDS[5:], "<b>here</b>", "<script>alert(1)</script>"]
Grid = tuple[list[int], list[int]]  # numbers of labels, seeds
LABELS, SEEDS = [20, 40, 80], [0, 1, 2]
SIZE = {"parameters": 9_000, "megabytes": 0.04, "note": ""}  # as finetuning measures it
STARTS = {"trunk": SIZE, "linear": {"parameters": 90, "megabytes": 0.01, "note": "<b>TF-IDF"}, "random": SIZE}


def classes(kind: str) -> list[str]:
    return CLASSES if kind == "sequence_classification" else IOB2


def save_model(kind: str, folder: Path, seed: int, names: list[str]) -> None:
    """Weights and tokenizer as finetuning saves them: with the length that inputs are cut to."""
    from transformers import PreTrainedTokenizerFast

    models.save_model(folder, kind, tuple(names), seed)
    PreTrainedTokenizerFast.from_pretrained(folder, model_max_length=32).save_pretrained(folder)


def examples(kind: str, n: int) -> pa.Table:
    generator = np.random.default_rng(5)
    words = [[WORDS[i] for i in generator.integers(0, len(WORDS), 6)] for _ in range(n)]
    common = {"example": np.arange(n), "id": [f"{i:032x}" for i in range(n)]}
    if kind == "sequence_classification":
        label = [CLASSES[i] for i in generator.integers(0, len(CLASSES), n)]
        return pa.table({**common, "text": [" ".join(row) for row in words], "label": label})
    return pa.table(
        {**common, "text": words, "label": [["B-place", "I-place", "O", "O", "O", "B-place"]] * n}
    )


def outcomes(kind: str, scored: dict[str, np.ndarray], gain: float, grid: Grid) -> pa.Table:
    """Runs whose trunk is right about `gain` more often than a linear model; the selected one is `scored`."""
    n = len(next(iter(scored.values())))
    generator = np.random.default_rng(6)
    parts = []
    for start, more in (("trunk", gain), ("linear", 0.0), ("random", -gain)):
        for place, labels in enumerate(grid[0]):
            for seed in grid[1]:
                share = 0.4 + 0.1 * place + more + generator.normal(0, 0.02)
                right = generator.random(n) < share
                columns: dict[str, Any] = dict(scored)
                if (start, labels, seed) != ("trunk", grid[0][-1], 0):
                    columns = _invented(kind, scored, right)
                tags = {"start": [start] * n, "labels": [labels] * n, "seed": [seed] * n}
                parts.append(pa.table({**tags, "example": np.arange(n), **columns}))
    return pa.concat_tables(parts)


def _invented(kind: str, scored: dict[str, np.ndarray], right: np.ndarray) -> dict[str, np.ndarray]:
    if kind == "sequence_classification":
        label = scored["label"]
        prediction = np.where(right, label, (label + 1) % len(CLASSES))
        return {"label": label, "prediction": prediction, "confidence": np.full(len(label), 0.6)}
    hits = right.astype(np.int64) * 2
    return {"tp": hits, "fp": 2 - hits, "fn": 2 - hits, "correct": hits + 4, "tokens": np.full(len(hits), 6)}


def commit(
    store: Store,
    kind: str,
    *,
    n: int = 120,
    seed: int = 0,
    spoil: bool = False,
    names: list[str] | None = None,
    grid: Grid = (LABELS, SEEDS),
    slices: dict[str, list[Any]] | None = None,
    temperature: float | None = None,
) -> Manifest:
    """A branch as finetuning would commit it; its trunk is not in the store. `spoil` drops an outcome."""
    own = {"names": names, "slices": slices, "temperature": temperature}
    key = Key("finetuning", 1, {"kind": kind, "seed": seed, "n": n, "spoil": spoil, **own})
    with store.draft(key) as draft:
        save_model(kind, draft.folder / "model", seed, names or classes(kind))
        _calibrate(draft.folder / "model" / "config.json", temperature)
        table = examples(kind, n)
        scored = score(draft.folder / "model", kind, table)
        scored.pop("uncalibrated", None)  # of an evaluation alone
        for path in sorted((draft.folder / "model").iterdir()):
            draft.add(f"model/{path.name}")
        _write(draft, "examples.parquet", table)
        _write(draft, "slices.parquet", pa.table(slices or {}))
        _write(draft, "outcomes.parquet", outcomes(kind, scored, 0.15, grid).slice(int(spoil)))
        draft.facts.update(
            task="weather",
            kind=kind,
            modality="text",
            classes=names or classes(kind),
            label_counts=grid[0],
            seeds=grid[1],
            temperature=temperature,
            selected={"labels": grid[0][-1], "seed": 0},
            starts=STARTS,
            starts_left_out={"public": "the trunk did not start from public weights"},
        )
        _runs(draft, grid)
        return draft.commit()


def _calibrate(config: Path, temperature: float | None) -> None:
    if temperature is None:
        return
    settings = json.loads(config.read_text()) | {"calibration_temperature": temperature}
    config.write_text(json.dumps(settings))


def _runs(draft: Draft, grid: Grid) -> None:
    """What finetuning tells of each run, and what a clock measured."""
    ended = {"rate": None, "steps": 0, "stopped": "solved"}
    trained = ended | {"rate": 1e-3, "steps": 30, "stopped": "early"}
    rows = [
        {"start": start, "labels": labels, "seed": seed, **(ended if start == "linear" else trained)}
        for start, labels, seed in itertools.product(STARTS, *grid)
    ]
    draft.measured["runs"] = [{**row, "cpu_seconds": 1.5} for row in rows]
    spent = {"trunk": 60.0, "linear": 0.0, "random": None}  # nobody knows it of adopted weights
    draft.measured["starts"] = {
        start: {**STARTS[start], "pretraining_cpu_seconds": spent[start], "milliseconds": 0.1}
        for start in STARTS
    }
    draft.write("runs.jsonl", "".join(json.dumps(row) + "\n" for row in rows), len(rows))


def _write(draft: Draft, name: str, table: pa.Table) -> None:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    draft.write(name, buffer.getvalue(), rows=len(table))


def read(store: Store, manifest: Manifest, name: str) -> pa.Table:
    """A table of an output."""
    return pq.read_table(store.open(manifest, name))


def empty(store: Store) -> Manifest:
    """A branch without test examples."""
    kind = "sequence_classification"
    with store.draft(Key("finetuning", 1, {"empty": True})) as draft:
        _write(draft, "examples.parquet", examples(kind, 1).slice(1))
        draft.facts.update(task="weather", kind=kind, modality="text", classes=CLASSES)
        return draft.commit()


def register(context: Context, branch: Manifest, name: str) -> Registered:
    """Makes the branch the champion of `name`, as promotion would."""
    registry = Registry(context.tracking_uri)
    with track(context, branch.key.digest, name=name) as tracker:
        kind = branch.facts["kind"]
        version = publish(context, registry, tracker, branch, name=name, use=kind, card="", tags={})
    registry.set_alias(version, "champion")
    return version
