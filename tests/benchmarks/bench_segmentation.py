"""What a trunk buys where a few pictures have masks: nuclei under the microscope, against a random start.

    python -m tests.benchmarks.bench_segmentation FILE     or TRUNKLINE_BENCH_DATA=FOLDER make bench

FILE is `dsb2018_fluor256.npz`, the fluorescence images of the Data Science Bowl 2018 (CC0) as arrays `images`
(n, 256, 256, 3) and `masks` (n, 256, 256) of 0 and 1; it is read as it is, and FOLDER holds it. A trunk reads
the pictures that are not tested, without masks. Both starts have the same steps and labelled pictures, and
each its own rate, chosen on held-out labelled pictures.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from components.evaluation.config import Config as Evaluation
from components.evaluation.run import run as evaluate
from components.finetuning.run import run as finetune
from components.ingestion.run import run as ingest
from components.lib.core.settings import from_dict
from components.lib.modalities.image.ingestion import Config as Ingestion
from components.lib.modalities.image.labelled import Config as Finetuning
from components.lib.modalities.image.tokenization import Config as Tokenization
from components.lib.pages.scorecard import points, span
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.pretraining.config import Config as Pretraining
from components.pretraining.run import run as pretrain
from components.tokenization.run import run as tokenize
from tests.benchmarks.history import record

NAME = "dsb2018_fluor256.npz"
SIDE, TESTED = 64, 0.4
RATES = (4e-3, 1.6e-2)
OBJECTIVE = "denoising"


def trunk(file: Path, context: Context, place: Path) -> None:
    """Pre-trains on pictures without masks; writes manifests to `place`, the trunk as a registered one."""
    tested = {"source": str(file), "share": TESTED}
    ingestion = from_dict(Ingestion, {"modality": "image", "sources": [str(file)], "decontaminate": [tested]})
    ingest(ingestion, context, corpus=place / "corpus.json", card=place / "card.html")
    sizes = Tokenization(modality="image", height=SIDE, width=SIDE)
    tokenize(sizes, context, corpus=place / "corpus.json", tokens=place / "tokens.json")
    config = Pretraining(
        modality="image", trunk={"architecture": "cnn", "size": "micro", "crop": 0.4},
        objective={OBJECTIVE: {}}, steps=200, global_batch=64, learning_rate=2e-3, warmup=0.1, threads=1,
    )  # fmt: skip
    pretrain(config, context, tokens=place / "tokens.json", trunk=place / "trunk.json")
    key = Key("registration", 1, {}, {"trunk": artifacts.read(place / "trunk.json").reference})
    Manifest(key, "", ()).write(place / "registered.json")


def study(file: Path, context: Context, place: Path) -> Manifest:
    """Fine-tunes and evaluates; returns the manifest of the evaluation."""
    labelled = {
        "source": str(file),
        "label": "mask",
        "format_options": {"npz": {"fields": {"mask": "masks"}}},
    }
    settings = {
        "task": "nuclei", "modality": "image", "kind": "segmentation", "label_counts": (4, 16),
        "seeds": (0, 1, 2), "learning_rates": RATES, "steps": 40, "batch": 8, "train": labelled,
        "test": {**labelled, "share": TESTED}, "test_examples": 0,
    }  # fmt: skip
    branch = place / "branch.json"
    finetune(from_dict(Finetuning, settings), context, registered=place / "registered.json", branch=branch)
    outputs = {"evaluation": place / "evaluation.json", "card": place / "evaluation.html"}
    evaluate(Evaluation(model="nuclei"), context, branch=branch, **outputs)
    return artifacts.read(place / "evaluation.json")


def measure(file: Path) -> None:
    """From the archive to intervals; printed, and a line of history a number of labelled pictures."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        context = Context(Store(str(place / "store")), stage=OBJECTIVE)
        trunk(file, context, place)
        facts = study(file, context, place).facts
        rates = artifacts.read(place / "branch.json").facts["rates"]
    seconds, found = time.monotonic() - begin, facts["efficiency"]
    cost = f"{seconds:.0f} s, {sum(os.times()[:4]):.0f} CPU-s since the start"
    print(f"\nnuclei: {facts['primary']} on {facts['examples']} pictures; {cost}")
    for i, count in enumerate(found["labels"]):
        gain, means = found["gain"][i], {start: found[start][i]["mean"] for start in rates}
        told = ", ".join(f"{s} {mean:.3f} (rate {dict(rates[s])[count]:g})" for s, mean in means.items())
        print(f"  {count:>3} pictures: {told}; gain {points(gain['value'])} [{span(gain, differences=True)}]")
        figures = {"labels": count, "gain": gain["value"], "low": gain["low"], "high": gain["high"], **means}
        record("segmentation", {"objective": OBJECTIVE, **figures})


def located(given: str) -> Path | str:
    """The archive, by itself or in a folder; else why there is none."""
    if not given:
        return "no file is named (argument, or TRUNKLINE_BENCH_DATA: its folder)"
    file = Path(given, NAME) if Path(given).is_dir() else Path(given)
    return file if file.is_file() else f"there is no {file}"


def main() -> None:
    """Measures if the data are there."""
    file = located(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TRUNKLINE_BENCH_DATA", ""))
    if isinstance(file, str):
        print(f"SKIPPED segmentation: {file}")
        return
    measure(file)


if __name__ == "__main__":
    main()
