"""Comparison of starts: learning curves, paired differences, the price of a label, what each start cost."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from components.evaluation.config import Config
from components.evaluation.outcomes import Columns, Run
from components.evaluation.price import price
from components.evaluation.replicates import Estimates, Metric, Replicates
from components.lib.core.bootstrap import Summary, summary
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

Facts = dict[str, Any]


def compare(
    config: Config, runs: Mapping[Run, Columns], metric: Metric, declared: Mapping[str, Any]
) -> Facts:
    """All starts at all numbers of labels, on the same examples.

    Args:
        config: replicates, confidence, seed.
        runs: outcomes of each (start, labels, seed); a start may lack some.
        metric: the primary metric.
        declared: its entry in the task's METRICS: `better`, `low` and `high`.

    Returns:
        {"starts", "seeds", "labels", "prices"}. `labels` has an entry {"count", "starts": {name: summary},
        "differences": [summary | {"of", "over", "detectable"}]} for each number of labels; a difference is
        value of `of` - value of `over`. `prices`: see `price.price`.
    """
    made = Replicates(config, runs, metric, declared)
    starts = ordered({start for start, _, _ in runs})
    counts = sorted({count for _, count, _ in runs})
    sign = -1.0 if declared["better"] == "lower" else 1.0
    curves = {start: [n for n in counts if n > 0 and made.seeds((start, n))] for start in starts}
    pairs = [(of, over, count) for of, over in itertools.permutations(starts, 2) for count in curves[of]]
    prices = (price(made, of, over, count, curves[over], sign) for of, over, count in pairs)
    return {
        "starts": starts,
        "seeds": sorted({seed for _, _, seed in runs}),
        "labels": [_row(made, count, [s for s in starts if made.seeds((s, count))]) for count in counts],
        "prices": [found for found in prices if found is not None],
    }


def ordered(starts: Iterable[str]) -> list[str]:
    """The trunk first, random weights last, the others by name: of each pair, the first is `of`."""
    return sorted(starts, key=lambda start: (start != "trunk", start == "random", start))


def _row(made: Replicates, count: int, starts: list[str]) -> Facts:
    values = {
        start: _summary(made.mean(*made.of(start, count, made.seeds((start, count))))) for start in starts
    }
    pairs = (
        (of, over, made.seeds((of, count), (over, count))) for of, over in itertools.combinations(starts, 2)
    )
    differences = []
    for of, over, seeds in pairs:
        if seeds:
            (a, drawn), (b, other) = (made.of(start, count, seeds) for start in (of, over))
            found = made.mean(a - b, drawn - other, paired=True)
            detectable = summary(float(found.detectable[0]), 0.0, 0.0)["value"]
            differences.append({"of": of, "over": over, **_summary(found), "detectable": detectable})
    return {"count": count, "starts": values, "differences": differences}


def _summary(found: Estimates) -> Summary:
    return summary(float(found.value[0]), float(found.low[0]), float(found.high[0]))


def endings(store: Store, branch: Manifest) -> Facts:
    """What finetuning says of the starts of a branch, without what a clock had a part in.

    Returns:
        {"sizes": {start: {"parameters", "megabytes", "note"}}, "stopped": [{"start", "labels", "steps",
        "by": {what ended a run: runs}}], "left_out": {start: reason}, "selected": the branch's run}.
    """
    cells: dict[tuple[str, int], list[Facts]] = {}
    if branch.names("runs.jsonl"):
        for line in store.open(branch, "runs.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            cells.setdefault((row["start"], int(row["labels"])), []).append(row)
    stopped = []
    for (start, labels), runs in sorted(cells.items()):
        by, steps = Counter(run["stopped"] for run in runs), sorted(run["steps"] for run in runs)
        stopped.append({"start": start, "labels": labels, "by": dict(by), "steps": steps[len(steps) // 2]})
    return {
        "sizes": branch.facts.get("starts", {}),
        "stopped": stopped,
        "left_out": branch.facts.get("starts_left_out", {}),
        "selected": branch.facts.get("selected"),
    }


def seconds(branch: Manifest) -> Facts:
    """What a clock measured of the starts of a branch.

    Returns:
        {start: {"pretraining_cpu_seconds", "milliseconds", "fit_cpu_seconds": {labels: mean over seeds}}}.
    """
    spent: dict[tuple[str, str], list[float]] = {}
    for run in branch.measured.get("runs", []):
        spent.setdefault((run["start"], str(run["labels"])), []).append(run["cpu_seconds"])
    found = {}
    for start, cost in branch.measured.get("starts", {}).items():
        fits = {n: round(sum(each) / len(each), 3) for (name, n), each in spent.items() if name == start}
        clocks = {name: cost.get(name) for name in ("pretraining_cpu_seconds", "milliseconds")}
        found[start] = {**clocks, "fit_cpu_seconds": fits}
    return found
