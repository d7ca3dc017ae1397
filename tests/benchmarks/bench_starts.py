"""All starts on the same examples, with intervals and costs: intents, entities, clothes, digits.

    python -m tests.benchmarks.bench_starts FOLDER  or  TRUNKLINE_BENCH_DATA=FOLDER make bench BENCH=starts

Rows are presets, of tests/benchmarks/presets (their data: see bench_quality) and of the product;
ROWS='wnut17 image-simclr' runs those alone. Each says which start is recommended, and whether that is the
best one or within the interval of the best.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from components.preflight import settings
from tests.benchmarks import bench_quality
from tests.benchmarks.history import record

PRODUCT = Path(settings.__file__).parents[2] / "pipelines" / "presets"
ROWS = ("banking77", "wnut17", "fashion", "image-simclr")


def within(row: dict[str, Any], start: str, best: str) -> bool:
    """Whether the difference of two starts is not shown."""
    found = [d for d in row["differences"] if {d["of"], d["over"]} == {start, best}]
    return start == best or any(difference["low"] <= 0 <= difference["high"] for difference in found)


def show(name: str, found: dict[str, Any], costs: dict[str, Any]) -> None:
    """The table of a task, and a line of the history a number of labels."""
    compared, higher = found["comparison"], found["metric"][found["primary"]]["better"] == "higher"
    print(f"\n{name}: {found['primary']} on {found['examples']:,} test examples; {compared['sentence']}")
    for row in compared["labels"]:
        values = {start: entry["value"] for start, entry in row["starts"].items()}
        best = (max if higher else min)(values, key=values.__getitem__)
        advised = next(choice["start"] for choice in compared["choices"] if choice["count"] == row["count"])
        for start, entry in row["starts"].items():
            spent = costs.get(start, {}).get("fit_cpu_seconds", {}).get(str(row["count"]))
            marks = " best" * (start == best) + " recommended" * (start == advised)
            span = f"[{entry['low']:.3f}, {entry['high']:.3f}]"
            print(f"  {row['count']:>6} {start:>8} {entry['value']:.3f} {span} {spent} CPU-s a run{marks}")
        sound = advised is None or within(row, advised, best)
        print(
            "  the recommended start "
            + ("is the best, or within its interval" if sound else "is NOT the best")
        )
        ends = {f"{s}/{end}": e[end] for s, e in row["starts"].items() for end in ("value", "low", "high")}
        record(f"starts_{name}", {"labels": row["count"], **ends, "sound": float(sound)})


def main() -> None:
    """Every row that is asked for and whose data are there."""
    given = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("TRUNKLINE_BENCH_DATA", "")
    for name in os.environ.get("ROWS", " ".join(ROWS)).split():
        preset = next(path for path in (*bench_quality.PRESETS, *PRODUCT.glob("*.yaml")) if path.stem == name)
        if lacking := bench_quality.lacking(preset, given):
            print(f"SKIPPED {name}: {lacking}")
            continue
        found = bench_quality.facts(preset, "", Path(given or ".").resolve())
        show(name, found["evaluation"], found["costs"])


if __name__ == "__main__":
    main()
