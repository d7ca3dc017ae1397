"""Compressed variants against their branches: how much faster, how much smaller, and what they lose.

    make bench BENCH=compress          ROWS='adapt' for one row; 7 CPU-minutes, and 83 MB to fetch

Rows are presets of the product, run whole: MiniLM as it is published with a linear probe on 20 Newsgroups,
and a small convolutional network on digits. Times are of one record and one thread, in turns within one run;
losses are paired, on the same test examples, with 95 % intervals.
"""

import os
from pathlib import Path
from typing import Any

from components.lib.pages.scorecard import points, span
from tests.benchmarks import bench_quality, bench_starts
from tests.benchmarks.history import record, sized

COMPRESS = "evaluation.compress=[distilled, int8, onnx]"
PROBED = ("finetuning.label_counts=[1000]", "finetuning.test_examples=2000", "finetuning.max_length=64")
FEW = "evaluation.compress_options={distilled: {steps: 150}}"
ROWS = {
    "adapt": (
        "pretraining.steps=0",
        "finetuning.seeds=[0]",
        "finetuning.starts=[trunk, linear]",
        *PROBED,
        FEW,
    ),
    "image-simclr": ("finetuning.label_counts=[1000]", "finetuning.seeds=[0]"),
}
SMALL_ROWS = ("adapt-banking77",)  # of data that are made up
TINY = "evaluation.compress_options={distilled: {steps: 2}}"


def show(name: str, found: dict[str, Any], took: dict[str, Any]) -> None:
    """The table of a row, and a line of the history a variant."""
    primary, full = found["primary"], took["full"]
    value = found["metrics"][primary]["value"]
    print(f"\n{name}: {primary} {value:.4f} on {found['examples']:,} test examples")
    print(f"  {'full':>10}: p50 {full['p50']:.2f} ms, p99 {full['p99']:.2f} ms")
    for variant, one in found["variants"].items():
        if one["left_out"]:
            print(f"  {variant:>10}: {one['left_out']}")
            continue
        took_one, gap = took[variant], one["difference"][primary]
        faster = {key: full[key] / took_one[key] for key in ("p50", "p99")}
        more = took_one["records_per_second"] / full["records_per_second"]
        print(
            f"  {variant:>10}: p50 {took_one['p50']:.2f} ms ({faster['p50']:.2f}x faster), p99 "
            f"{took_one['p99']:.2f} ms ({faster['p99']:.2f}x), {more:.2f}x records/s, {one['megabytes']} MB, "
            f"{points(gap['value'])} points [{span(gap, differences=True)}], same answers {one['agreement']}"
        )
        ends = {f"loss/{end}": gap[end] for end in ("value", "low", "high")}
        speed = {"faster": faster["p50"], "faster_p99": faster["p99"], "throughput": more}
        record(f"compress_{name}_{variant}", {**speed, **ends, "megabytes": one["megabytes"]})


def main() -> None:
    """Every row that is asked for and whose data are there."""
    given = os.environ.get("TRUNKLINE_BENCH_DATA", "")
    for name in os.environ.get("ROWS", " ".join(sized(tuple(ROWS), SMALL_ROWS))).split():
        paths = (*bench_quality.PRESETS, *bench_starts.PRODUCT.glob("*.yaml"))
        preset = next(path for path in paths if path.stem == name)
        if lacking := bench_quality.lacking(preset, given):
            print(f"SKIPPED {name}: {lacking}")
            continue
        overrides = sized((*ROWS.get(name, ()), COMPRESS), (COMPRESS, TINY))
        found = bench_quality.facts(preset, "", Path(given or ".").resolve(), overrides)
        show(name, found["evaluation"], found["measured"]["variants"])


if __name__ == "__main__":
    main()
