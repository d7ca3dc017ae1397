"""A whole run as manifests in a store, without training anything: what the report is made from."""

import itertools
import json
import math
from typing import Any

from components.evaluation.recommendation import recommend
from components.lib.core import plugins
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.store import Store
from tests.models import commit

GROUPS = ["alt.atheism", "comp.graphics", "misc.forsale", "rec.autos", "sci.med", "talk.politics.misc"]


FINETUNING = {
    "modality": "text",
    "rejected": 2,
    "steps": 60,
    "mode": "full",
    "selected": {"labels": 5000, "seed": 0},
    "rates": {"random": [[100, 1e-3], [5000, 2e-3]], "trunk": [[100, 2e-3], [5000, 2e-3]]},
    "rates_tried": [1e-3, 2e-3],
    "counts": {"train": 11307, "test": 2000, "test_available": 7532, "train_also_in_test": 7},
}


def corpus(store: Store) -> Manifest:
    facts = {
        "modality": "text",
        "read": 18846,
        "quarantined": 3,
        "sources": 2,
        "documents": {"train": 17012, "validation": 893},
        "characters": {"train": 21_400_000, "validation": 1_100_000},
        "dropped": {"exact duplicate": 20, "near_duplicate": 611, "contaminated": 7, "length": 300},
    }
    return commit(store, "ingestion", {}, facts, config={"sources": ["sample:"]}, raw={"sources": "ab" * 32})


def tokens(store: Store, source: Manifest) -> Manifest:
    facts = {
        "modality": "text",
        "kind": "wordpiece",
        "vocab_size": 8192,
        "tokens": {"train": 4_900_000, "validation": 260_000},
    }
    config = {"kind": "wordpiece", "vocabulary_size": 8192}
    return commit(store, "tokenization", {"corpus": source}, facts, config=config)


def trunk(store: Store, source: Manifest) -> Manifest:
    rows: list[dict[str, Any]] = []
    for step in range(10, 801, 10):
        loss = 5.2 * math.exp(-step / 250) + 0.6 + 0.1 * math.sin(step)
        found = {"loss": loss, "contrastive": loss, "contrastive/accuracy": 1 - loss / 6}
        rows.append({"step": step, "learning_rate": 1e-3, "skipped": 0, **found})
        if step % 100 == 0:
            rows.append({"step": step, **{f"validation/{name}": found[name] + 0.15 for name in found}})
    facts = {
        "modality": "text",
        "architecture": "modernbert",
        "parameters": 3_180_000,
        "steps": 800,
        "objective": {"contrastive": {}},
        "samples": 51_200,
        "loss": {"train": 0.71, "validation": 0.86},
    }
    made: dict[str, Any] = {"files": {"history.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}}
    made |= {"measured": {"seconds": 171.4, "units_per_second": 15_021.0}}
    config = {"steps": 800, "trunk": {"size": "mini"}}
    return commit(store, "pretraining", {"tokens": source}, facts, config=config, **made)


def registered(source: Manifest, name: str = "trunkline-20news") -> Manifest:
    facts = {"name": name, "version": "3", "run_id": "r", "model_id": "m-1", "model_uri": f"models:/{name}/3"}
    return Manifest(
        Key("registration", 1, {"name": name}, {"trunk": source.reference}), facts["model_uri"], (), facts
    )


def branch(store: Store, source: Manifest, task: str) -> Manifest:
    config = {"task": task, "steps": 60}
    return commit(store, "finetuning", {"trunk": source}, FINETUNING | {"task": task}, config=config)


COUNTS = {"examples": 2000, "confidence": 0.95, "replicates": 2000}


def confusion(size: int) -> list[list[int]]:
    """Mostly right, and never symmetric."""
    return [[80 if i == j else (i * 5 + j * 3) % 7 for j in range(size)] for i in range(size)]


def evaluation(
    store: Store,
    source: Manifest,
    task: str,
    *,
    gain: float = 0.15,
    kind: str = "sequence_classification",
    champion: bool = False,
    starts: tuple[str, ...] = ("trunk", "linear", "random"),
    classes: list[str] = GROUPS,
) -> Manifest:
    text, declared = kind == "sequence_classification", plugins.declared("components.lib.tasks", kind)
    primary, spare = ("accuracy", "macro_f1") if text else ("span_f1", "span_recall")
    metrics = {primary: entry(0.61), spare: entry(0.58)}
    metrics["calibration_error"] = {"value": None, "low": None, "high": None, "reason": "not defined"}
    rival = {name: entry(0.6) for name in metrics} if champion else None
    facts: dict[str, Any] = {
        "task": task,
        "kind": kind,
        "modality": "text",
        "metric": declared.constants["METRICS"],
        "model": f"trunkline-20news-{task}",
        "primary": primary,
        **COUNTS,
        "classes": classes,
        "metrics": metrics,
        "champion": {"name": "trunkline-20news", "version": "2", "reference": "x"} if champion else None,
        "champion_metrics": rival,
        "difference": {name: entry(0.01, 0.015) for name in metrics} if champion else None,
        "comparison": comparison(gain, starts),
        "confusion": confusion(len(classes)) if text else None,
    }
    facts["comparison"] |= recommend(facts)
    config = {"model": facts["model"], "gain": gain, "starts": starts}
    worst = [{"true": classes[0], "predicted": classes[1], "count": 6, "share": 0.06}]
    written = {"evaluation.json": json.dumps({**facts, "worst_confusions": worst if text else []})}
    measured = {"costs": dict.fromkeys(starts, SECONDS)}
    return commit(
        store, "evaluation", {"branch": source}, facts, files=written, config=config, measured=measured
    )


LABELS = [100, 200, 500, 1000, 5000]
NETWORK = {"parameters": 3_180_000, "megabytes": 12.7, "note": ""}
SIZES = {
    "trunk": NETWORK,
    "linear": {"parameters": 40_000, "megabytes": 3.1, "note": "tfidf"},
    "random": NETWORK,
}
SECONDS = {
    "pretraining_cpu_seconds": 290.0,
    "milliseconds": 1.9,
    "fit_cpu_seconds": {"100": 1.5, "5000": 9.25},
}


def comparison(gain: float, starts: tuple[str, ...]) -> dict[str, Any]:
    """The trunk is `gain` better than a linear model at the fewest labels, and ever less with more."""
    rows, prices = [], []
    curve = zip(LABELS, [0.27, 0.34, 0.46, 0.57, 0.72], (1, 0.9, 0.6, 0.35, 0.1), strict=True)
    for count, linear, share in curve:
        values = {"trunk": linear + gain * share, "linear": linear, "random": linear - 0.1}
        differences = [
            {"of": a, "over": b, "detectable": 0.043, **entry(values[a] - values[b], 0.03)}
            for a, b in itertools.combinations(starts, 2)
        ]
        means = {start: entry(values[start]) for start in starts}
        rows.append({"count": count, "starts": means, "differences": differences})
        ends = {"value": 370.4, "low": 260.0, "high": 5000.0, "beyond": {"high": ">"}}
        prices += [
            {"of": "trunk", "over": other, "count": count, **ends} for other in starts if other != "trunk"
        ]
    stopped = [{"start": "trunk", "labels": 100, "by": {"early": 4, "bound": 1}, "steps": 240}]
    return {
        "starts": list(starts),
        "seeds": [0, 1, 2, 3, 4],
        "labels": rows,
        "prices": prices,
        "sizes": {start: SIZES[start] for start in starts},
        "stopped": stopped,
        "left_out": {} if "linear" in starts else {"linear": "this modality has none"},
        "selected": {"labels": 5000, "seed": 0},
    }


def decision(evaluations: list[Manifest], verdicts: list[str]) -> dict[str, Any]:
    tasks = [
        {
            "task": e.facts["task"],
            "kind": "sequence_classification",
            "modality": "text",
            "model": e.facts["model"],
            "verdict": verdict,
            "passed": verdict != "rejected",
            "reasons": ["accuracy 0.61 is below 0.7" if verdict == "rejected" else "within 0.01 or better"],
            "version": "4",
        }
        for e, verdict in zip(evaluations, verdicts, strict=True)
    ]
    return {"name": "trunkline-20news", "trunk_passed": "rejected" not in verdicts, "tasks": tasks}


def records(tasks: list[str]) -> list[dict[str, Any]]:
    stages = [("preflight", "", 0.4), ("ingestion", "", 14.2), ("tokenization", "", 6.1)]
    stages += [("pretraining", "", 171.4), ("registration", "", 4.8)]
    for task in tasks:
        stages += [("finetuning", task, 61.0), ("evaluation", task, 5.2)]
    found, start = [], 1000.0
    for stage, task, seconds in stages:
        outputs = [{"reference": f"{stage}/x#y", "uri": "file:///s", "reused": stage == "ingestion"}]
        times = {"start": start, "end": start + seconds, "seconds": seconds}
        found.append(
            {"stage": stage, "task": task, "status": "succeeded", "outputs": outputs, "error": None, **times}
        )
        start += seconds + 1
    return found


def entry(value: float, half: float = 0.02) -> dict[str, float]:
    return {"value": round(value, 6), "low": round(value - half, 6), "high": round(value + half, 6)}


def promotion(
    store: Store, source: Manifest, verdicts: dict[str, str], findings: list[dict[str, Any]] | None = None
) -> Manifest:
    """A decision; with `findings`, what the rules found of every task."""
    facts = {"passed": True, "tasks": verdicts}
    decided = {"tasks": [{"task": task, "findings": findings} for task in verdicts]}
    files: dict[str, str | bytes] = {"decision.json": json.dumps(decided)} if findings else {}
    return commit(store, "promotion", {"trunk": source}, facts, config={"rules": {}}, files=files)
