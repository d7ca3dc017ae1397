"""Small studies of a made-up text task."""

import csv
import json
from pathlib import Path

from components.finetuning.config import Config, configured
from components.finetuning.run import run
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context
from tests.made import corpora


def table(path: Path, rows: list[tuple[object, object]], header=("text", "label")) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def config(ground: Path, **changes) -> Config:
    fixed = {
        "task": "topics",
        "modality": "text",
        "train": {"source": str(ground / "train.csv")},
        "test": {"source": str(ground / "test.csv")},
        "label_counts": (12, 48),
        "seeds": (0, 1),
        "steps": 30,
        "batch": 12,
        "learning_rates": (3e-3,),
        "max_length": 48,
    }
    return configured({**fixed, **changes}, "tasks.topics.finetuning")


def study(ground: Path, config: Config, branch: Path) -> tuple[Context, Manifest]:
    context = Context(corpora.Store(str(ground / "store")), stage="finetuning", task="topics")
    run(config, context, registered=ground / "registered.json", branch=branch)
    return context, artifacts.read(branch)


def read_lines(context: Context, manifest: Manifest, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in context.store.open(manifest, name).read_text().splitlines()]
