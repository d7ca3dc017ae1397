"""What a trunk buys on real tasks, against a random start: intents, entities, nuclei, pictures of clothes.

    python -m tests.benchmarks.bench_quality FOLDER        or TRUNKLINE_BENCH_DATA=FOLDER make bench

A benchmark is a preset of tests/benchmarks/presets, run whole as `make run` does; VARIANTS run one again with
other settings. A trunk reads the data of its task without their labels: the training texts, or the pictures
that are not tested. Both starts have the same steps and labels, and each its own rate (or, on a frozen trunk,
its own C), chosen on held-out labels. FOLDER holds what the presets name, as it comes: polyai.tar.gz
(banking_data/{train,test}.csv of PolyAI-LDN/task-specific-datasets), wnut17.tar.gz (wnut17train.conll,
emerging.test.annotated), dsb2018_fluor256.npz (arrays `images` (n, 256, 256, 3) and `masks` (n, 256, 256) of
0 and 1), and the four IDX files of Fashion-MNIST (Debian's dataset-fashion-mnist).
"""

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
    "finetuning={steps: 2, label_counts: [20], seeds: [0, 1], learning_rates: [1e-3]}",
    "evaluation={replicates: 100}",
)
CNN = "architecture: cnn, size: micro, grey: 0.0"
# preset: name of a variant -> trunk, objective, steps, rate; each of these takes 128 pictures a step
VARIANTS = {
    "fashion": {
        "byol": (f"{CNN}, crop: 0.3, jitter: 0.5", "byol: {momentum: 0.97}", 400, 4e-3),
        "masked_image": (
            "architecture: vit, size: nano, patch: 7, crop: 0.6",
            "masked_image: {width: 64, ratio: 0.6}",
            700,
            4e-3,
        ),
        "denoising": (f"{CNN}, crop: 0.6", "denoising: {}", 800, 2e-3),
        "rotation": (f"{CNN}, crop: 0.6", "rotation: {}", 800, 2e-3),
        "autoencoder": ("architecture: mlp, crop: 0.8", "autoencoder: {decorrelation: 0.001}", 2500, 1e-3),
        "adversarial": (CNN, "adversarial: {}", 80, 1e-3),
    }
}


def settings(preset: str, variant: str) -> tuple[str, ...]:
    """The overrides of a variant, and those of a size that shows no more than that it runs."""
    if not variant:
        return sized((), TINY)
    trunk, objective, steps, rate = VARIANTS[preset][variant]
    own = f"steps={steps}", f"learning_rate={rate}", "global_batch=128"
    asked = f"trunk={{{trunk}}}", f"objective={{{objective}}}", *sized(own, ())
    return (*(f"pretraining.{setting}" for setting in asked), *sized((), TINY))


def facts(
    preset: Path, variant: str, folder: Path, overrides: tuple[str, ...] = ()
) -> dict[str, dict[str, Any]]:
    """Runs a preset on the data of a folder; what finetuning and evaluation found."""
    with tempfile.TemporaryDirectory() as made:
        text = preset.read_text(encoding="utf-8").replace("DATA/", f"{folder}/")
        if 'start: "pypi:' in text:  # weights: small ones, whose few words are not those of the texts
            made_up = re.sub(r'start: "pypi:.*"', f"start: {folder}/weights/", text)
            text = sized(text, f"{made_up}\ntokenization: {{unknown: 1.0}}\n")
        Path(made, preset.name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "pipelines.local", "--preset", preset.stem]
        command += ["--store", f"{made}/store", "--tracking-uri", f"sqlite:///{made}/mlflow.db"]
        command += [
            word for setting in (*settings(preset.stem, variant), *overrides) for word in ("--set", setting)
        ]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "TRUNKLINE_PRESETS": made}, check=True)
        store, found = Store(f"{made}/store"), {}
        for stage in ("finetuning", "evaluation"):
            (entry,) = Path(made, "store", "runs").glob(f"*/{stage}.*.json")
            output = json.loads(entry.read_text())["outputs"][-1]  # behind those of compressed variants
            manifest = store.resolve(output["reference"])
            found |= {stage: manifest.facts, "measured": manifest.measured}
            found["costs"] = manifest.measured.get("costs", {})
    return found


def measure(preset: Path, variant: str, folder: Path) -> None:
    """One task from raw files to intervals; printed, and a line a number of labels."""
    start, spent, name = time.monotonic(), os.times(), "_".join(filter(None, (preset.stem, variant)))
    found = facts(preset, variant, folder)
    cost = sum(os.times()[2:4]) - sum(spent[2:4])
    evaluated = found["evaluation"]
    about = f"{evaluated['primary']} on {evaluated['examples']:,} test examples"
    print(f"\n{name}: {about}, {time.monotonic() - start:.0f} s, {cost:.0f} CPU-s")
    print(f"  {evaluated['comparison']['sentence']}")
    for row in evaluated["comparison"]["labels"]:
        count, means = row["count"], {start: entry["value"] for start, entry in row["starts"].items()}
        told = [f"{start} {mean:.3f}" for start, mean in means.items()]
        for other in [start for start in means if start != "trunk"]:
            found = gain(evaluated, row, "trunk", other)
            told.append(f"over {other} {points(found['value'])} [{span(found, differences=True)}]")
            means |= {f"over_{other}/{end}": found[end] for end in ("value", "low", "high")}
        print(f"  {count:>5} labels: {', '.join(told)}")
        record(f"quality_{name}", {"labels": count, **means})


def lacking(preset: Path, given: str) -> str:
    """What a folder lacks of the data of a preset; '' if nothing."""
    named = sorted(set(re.findall(r"DATA/([\w.-]+)", preset.read_text(encoding="utf-8"))))
    missing = [name for name in named if not given or not Path(given, name).exists()]
    place = given or "no folder (argument or TRUNKLINE_BENCH_DATA)"
    return f"{missing[0]} is not in {place}" if missing else ""


def main() -> None:
    """Every preset whose data are there, and its variants."""
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TRUNKLINE_BENCH_DATA", "")
    for preset in PRESETS:
        if why := lacking(preset, given):
            print(f"SKIPPED {preset.stem}: {why}")
            continue
        for variant in ("", *VARIANTS.get(preset.stem, {})):
            measure(preset, variant, Path(given).resolve())


if __name__ == "__main__":
    main()
