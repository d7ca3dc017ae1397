"""What a trunk buys on real tasks: intents (banking77) and named entities (WNUT17), against a random start.

    python -m tests.benchmarks.bench_quality FOLDER        or TRUNKLINE_BENCH_DATA=FOLDER make bench

FOLDER holds `polyai.tar.gz` (banking_data/{train,test}.csv of PolyAI-LDN/task-specific-datasets, CC BY 4.0)
and `wnut17.tar.gz` (wnut17train.conll, emerging.test.annotated; CC BY 4.0); they are read as they are. Each
trunk reads the training texts of its task without their labels. Both starts have the same steps and labels,
and each its own rate, chosen on held-out training labels. The test splits are the official ones.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from components.lib.modalities.text.tokenization.plan import Config as Tokenization

from components.evaluation.config import Config as Evaluation
from components.evaluation.run import run as evaluate
from components.finetuning.run import run as finetune
from components.ingestion.run import run as ingest
from components.lib.core.settings import from_dict
from components.lib.modalities.text.ingestion import Config as Ingestion
from components.lib.modalities.text.labelled import Config as Finetuning
from components.lib.pages.scorecard import points, span
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.pretraining.config import Config as Pretraining
from components.pretraining.run import run as pretrain
from components.tokenization.run import run as tokenize
from tests.benchmarks.history import record

BANKING, WNUT = "polyai.tar.gz!/*/banking_data", "wnut17.tar.gz!/*"
CONLL = {"format": "conll", "text": "tokens", "label": "labels"}
RATES = (5e-4, 2e-3, 8e-3)

# task -> where its splits are, and how it differs from what is common to both
TASKS: dict[str, dict[str, Any]] = {
    "banking77": {
        "kind": "sequence_classification",
        "train": {"source": f"{BANKING}/train.csv", "label": "category"},
        "test": {"source": f"{BANKING}/test.csv", "label": "category"},
        "objective": {"contrastive": {"temperature": 0.05}},
        "label_counts": (385, 770, 3850),
    },
    "wnut17": {
        "kind": "token_classification",
        "train": {"source": f"{WNUT}/wnut17train.conll", **CONLL},
        "test": {"source": f"{WNUT}/emerging.test.annotated", **CONLL},
        "objective": {"masked_lm": {}},
        "label_counts": (400, 800, 3200),
    },
}  # fmt: skip


def located(split: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A split with its source below the folder."""
    return {**split, "source": f"{folder}/{split['source']}"}


def trunk(task: dict[str, Any], folder: Path, context: Context, place: Path) -> None:
    """Pre-trains on the training texts; writes manifests to `place`, the trunk as a registered one."""
    train = located(task["train"], folder)
    ingestion = {
        "sources": [train["source"]], "text": train.get("text", "text"),
        "format": train.get("format", "auto"), "filters": {}, "near_duplicates": 0,
    }  # fmt: skip
    ingest(from_dict(Ingestion, ingestion), context, corpus=place / "corpus.json", card=place / "card.html")
    tokens = Tokenization(kind="wordpiece", vocabulary_size=4000, lowercase=True)
    tokenize(tokens, context, corpus=place / "corpus.json", tokens=place / "tokens.json")
    config = Pretraining(
        trunk={"architecture": "modernbert", "size": "nano", "sequence_length": 48, "unit": "document"},
        objective=task["objective"], steps=400, global_batch=256, learning_rate=5e-3, warmup=0.1, nproc=2,
    )  # fmt: skip
    pretrain(config, context, tokens=place / "tokens.json", trunk=place / "trunk.json")
    key = Key("registration", 1, {}, {"trunk": artifacts.read(place / "trunk.json").reference})
    Manifest(key, "", ()).write(place / "registered.json")


def study(name: str, task: dict[str, Any], folder: Path, context: Context, place: Path) -> Manifest:
    """Fine-tunes and evaluates; returns the manifest of the evaluation."""
    settings = {
        "task": name, "kind": task["kind"], "label_counts": task["label_counts"], "learning_rates": RATES,
        "train": located(task["train"], folder), "test": located(task["test"], folder), "steps": 150,
        "max_length": 48, "test_examples": 0,
    }  # fmt: skip
    branch = place / "branch.json"
    finetune(from_dict(Finetuning, settings), context, registered=place / "registered.json", branch=branch)
    outputs = {"evaluation": place / "evaluation.json", "card": place / "evaluation.html"}
    evaluate(Evaluation(model=name), context, branch=branch, **outputs)
    return artifacts.read(place / "evaluation.json")


def measure(name: str, folder: Path) -> None:
    """One task from raw files to intervals; printed, and a line a number of labels."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        context = Context(Store(str(place / "store")), stage=name)
        trunk(TASKS[name], folder, context, place)
        facts = study(name, TASKS[name], folder, context, place).facts
        rates = artifacts.read(place / "branch.json").facts["rates"]
    seconds, found = time.monotonic() - begin, facts["efficiency"]
    print(f"\n{name}: {facts['primary']} on {facts['examples']:,} test examples, {seconds:.0f} s")
    for i, count in enumerate(found["labels"]):
        gain, means = found["gain"][i], {start: found[start][i]["mean"] for start in rates}
        told = ", ".join(f"{s} {mean:.3f} (rate {dict(rates[s])[count]:g})" for s, mean in means.items())
        print(f"  {count:>5} labels: {told}; gain {points(gain['value'])} [{span(gain, differences=True)}]")
        figures = {"labels": count, "gain": gain["value"], "low": gain["low"], "high": gain["high"], **means}
        record(f"quality_{name}", figures)


def main() -> None:
    """Both tasks, if their data are there."""
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TRUNKLINE_BENCH_DATA", "")
    for name, task in TASKS.items():
        file = Path(given or ".", task["train"]["source"].partition("!/")[0])
        if not given or not file.is_file():
            reason = (
                f"there is no {file}" if given else "no folder is named (argument or TRUNKLINE_BENCH_DATA)"
            )
            print(f"SKIPPED {name}: {reason}")
            continue
        measure(name, Path(given))


if __name__ == "__main__":
    main()
