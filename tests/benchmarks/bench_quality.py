"""What a trunk buys on real tasks, against a random start: intents, named entities, masks of nuclei.

    python -m tests.benchmarks.bench_quality FOLDER        or TRUNKLINE_BENCH_DATA=FOLDER make bench

A benchmark is a preset of tests/benchmarks/presets, run whole as `make run` does. A trunk reads the data of
its task without their labels: the training texts, or the pictures that are not tested. Both starts have the
same steps and labels, and each its own rate, chosen on held-out labels. FOLDER holds what the presets name,
as it comes: polyai.tar.gz (banking_data/{train,test}.csv of PolyAI-LDN/task-specific-datasets),
wnut17.tar.gz (wnut17train.conll, emerging.test.annotated) and dsb2018_fluor256.npz (arrays `images` (n,
256, 256, 3) and `masks` (n, 256, 256) of 0 and 1).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from components.lib.pages.scorecard import points, span
from components.lib.pages.starts import gain
from components.lib.storage.store import Store
from tests.architecture.imports import ROOT
from tests.benchmarks.history import record, sized

PRESETS = sorted(Path(__file__).with_name("presets").glob("*.yaml"))
TINY = (
    "pretraining={steps: 2, global_batch: 8, nproc: 1}",
    "finetuning={steps: 2, label_counts: [8], seeds: [0, 1], learning_rates: [1e-3]}",
    "evaluation={replicates: 100}",
)


def facts(preset: Path, folder: Path) -> dict[str, dict[str, Any]]:
    """Runs a preset on the data of a folder; what finetuning and evaluation found."""
    with tempfile.TemporaryDirectory() as made:
        text = preset.read_text(encoding="utf-8").replace("DATA/", f"{folder}/")
        Path(made, preset.name).write_text(text, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "pipelines.local",
            "--preset",
            preset.stem,
            "--store",
            f"{made}/store",
        ]
        command += ["--tracking-uri", f"sqlite:///{made}/mlflow.db"]
        command += [word for setting in sized((), TINY) for word in ("--set", setting)]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "TRUNKLINE_PRESETS": made}, check=True)
        store, found = Store(f"{made}/store"), {}
        for stage in ("finetuning", "evaluation"):
            (entry,) = Path(made, "store", "runs").glob(f"*/{stage}.{preset.stem}.json")
            (output,) = json.loads(entry.read_text())["outputs"]
            found[stage] = store.resolve(output["reference"]).facts
    return found


def measure(preset: Path, folder: Path) -> None:
    """One task from raw files to intervals; printed, and a line a number of labels."""
    start, spent = time.monotonic(), os.times()
    found = facts(preset, folder)
    cost = sum(os.times()[2:4]) - sum(spent[2:4])
    evaluated = found["evaluation"]
    about = f"{evaluated['primary']} on {evaluated['examples']:,} test examples"
    print(f"\n{preset.stem}: {about}, {time.monotonic() - start:.0f} s, {cost:.0f} CPU-s")
    print(f"  {evaluated['comparison']['sentence']}")
    for row in evaluated["comparison"]["labels"]:
        count, means = row["count"], {start: entry["value"] for start, entry in row["starts"].items()}
        told = [f"{start} {mean:.3f}" for start, mean in means.items()]
        for other in [start for start in means if start != "trunk"]:
            found = gain(evaluated, row, "trunk", other)
            told.append(f"over {other} {points(found['value'])} [{span(found, differences=True)}]")
            means |= {f"over_{other}/{end}": found[end] for end in ("value", "low", "high")}
        print(f"  {count:>5} labels: {', '.join(told)}")
        record(f"quality_{preset.stem}", {"labels": count, **means})


def main() -> None:
    """Every preset whose data are there."""
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TRUNKLINE_BENCH_DATA", "")
    for preset in PRESETS:
        named = sorted(set(re.findall(r"DATA/([\w.]+)", preset.read_text(encoding="utf-8"))))
        missing = [name for name in named if not given or not Path(given, name).is_file()]
        if missing:
            place = given or "no folder (argument or TRUNKLINE_BENCH_DATA)"
            print(f"SKIPPED {preset.stem}: {missing[0]} is not in {place}")
            continue
        measure(preset, Path(given).resolve())


if __name__ == "__main__":
    main()
