"""`make decide` for MINUTES against full runs: does it recommend the same start at each number of labels?

    python -m tests.benchmarks.bench_decide FOLDER  or  TRUNKLINE_BENCH_DATA=FOLDER make bench BENCH=decide

FOLDER as for bench_quality; ROWS='MNIST,banking77' runs those alone. The answers of full runs are those of
bench_starts and of the quickstart (LOG.md). MINUTES=10 are of wall time, as a user has them: beside other
work, or on one core, less is trained in them than on a quiet machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.architecture.imports import ROOT
from tests.benchmarks.bench_quality import TINY
from tests.benchmarks.history import record, sized

MINUTES = float(os.environ.get("MINUTES") or sized(10, 0.3))


@dataclass(frozen=True)
class Case:
    """A data set: the preset that decides, what full runs recommend, and the settings that name its data."""

    preset: str
    full: dict[int, str]
    settings: dict[str, Any] = field(default_factory=dict)


def banking(split: str) -> dict[str, str]:
    """Questions of customers and what they are about."""
    return {"source": f"DATA/polyai.tar.gz!/*/banking_data/{split}.csv", "label": "category"}


def clothes(split: str) -> dict[str, Any]:
    """Pictures and classes of Fashion-MNIST."""
    labels = f"DATA/{split}-labels-idx1-ubyte.gz"
    source = f"DATA/{split}-images-idx3-ubyte.gz"
    return {"source": source, "format": "idx", "format_options": {"idx": {"labels": labels}}}


def own(
    task: str, kind: str, train: dict[str, Any], test: dict[str, Any], **ingestion: Any
) -> dict[str, Any]:
    """The settings by which a preset reads other data."""
    named = {"name": task, "kind": kind, "train": train, "test": test}
    corpus = {"sources": [train["source"]], "near_duplicates": 0, "decontaminate": [], **ingestion}
    return {"tasks": [named], **{f"ingestion.{key}": value for key, value in corpus.items()}}


CASES = {
    "20 Newsgroups": Case("decide", {100: "trunk", 200: "trunk", 1000: "trunk"}),
    "banking77": Case(
        "decide",
        {154: "trunk", 385: "trunk", 1540: "linear"},
        own("topics", "sequence_classification", banking("train"), banking("test"), text="text", filters={}),
    ),
    "Fashion-MNIST": Case(
        "decide-image",
        {100: "linear", 500: "linear"},
        own(
            "digits",
            "image_classification",
            clothes("train"),
            clothes("t10k"),
            format="idx",
            format_options={},
        ),
    ),
    "MNIST": Case("decide-image", {20: "trunk", 100: "trunk", 500: "trunk"}, {"pretraining.trunk.flip": 0.0}),
}
OF_FOLDER = ("banking77", "Fashion-MNIST")


def decided(case: Case, folder: Path) -> tuple[dict[int, str], str]:
    """The start recommended at each number of labels, and after how many rounds."""
    counts = [20] if sized(0, 1) else sorted(case.full)
    given = {**case.settings, "finetuning.label_counts": counts}
    words = [f"{key}={json.dumps(value)}".replace("DATA/", f"{folder}/") for key, value in given.items()]
    with tempfile.TemporaryDirectory() as made:
        command = [
            sys.executable,
            "-m",
            "pipelines.decide",
            "--preset",
            case.preset,
            "--minutes",
            str(MINUTES),
        ]
        command += ["--store", f"{made}/store", "--tracking-uri", f"sqlite:///{made}/mlflow.db"]
        command += [word for setting in (*words, *sized((), TINY)) for word in ("--set", setting)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        latest = max(Path(made).glob("store/runs/*/verdict.json"), key=lambda path: path.stat().st_mtime)
        (task,) = json.loads(latest.read_text(encoding="utf-8"))["tasks"]
    (told,) = re.findall(r"^.* after \d+ rounds?$", done.stdout, re.MULTILINE)
    return {int(count): start for count, start in task["recommended"].items()}, told


def main() -> None:
    """A table, and in how many pairs of a data set and a number of labels both say the same."""
    given = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TRUNKLINE_BENCH_DATA", ".")).resolve()
    asked = [name for name in os.environ.get("ROWS", ",".join(CASES)).split(",") if name in CASES]
    agreed = pairs = 0
    for name in sized(asked, OF_FOLDER):
        begun, spent = time.monotonic(), os.times()
        found, told = decided(CASES[name], given)
        cost = sum(os.times()[2:4]) - sum(spent[2:4])
        print(f"\n{name}: {time.monotonic() - begun:.0f} s, {cost:.0f} CPU-s; {told}")
        for count, start in found.items():
            full = CASES[name].full.get(count, "")
            print(f"  {count:>6} labels: decide says {start}, the full run {full}", flush=True)
            agreed, pairs = agreed + (start == full), pairs + 1
            record(
                "decide", {"set": name, "labels": count, "cpu_seconds": cost, "agrees": float(start == full)}
            )
    print(f"\nthe same in {agreed} of {pairs} pairs")


if __name__ == "__main__":
    main()
