"""Metrics of systems that were scored on the same examples, with intervals and paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.evaluation.config import Config
from components.lib.core import bootstrap
from components.lib.core.bootstrap import Drawn, Floats, Statistic, Summary


def estimates(
    config: Config, systems: dict[str, Statistic], n: int, declared: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, dict[str, Summary]], dict[str, Summary], Drawn]:
    """Every metric of every system, and of the first minus the second, from the same resamplings.

    Args:
        config: replicates, confidence, seed.
        systems: name -> its metrics under weights; the challenger first.
        n: number of examples.
        declared: metric -> its entry in the task's METRICS, with `low` and `high`; some metrics have none.

    Returns:
        system -> metric -> summary, metric -> summary of the paired difference (empty for one system), and
        what was drawn of the first system, with which a later one can be compared.
    """

    def together(weights: Floats) -> dict[str, Floats]:
        return {f"{system}/{name}": v for system, f in systems.items() for name, v in f(weights).items()}

    values = bootstrap.point(together, n)
    drawn = bootstrap.replicate(together, n, config.replicates, config.seed)
    parts: dict[str, Drawn] = {system: {} for system in systems}
    for full, value in values.items():
        system, _, name = full.partition("/")
        parts[system][name] = (value, drawn[full])
    summaries = {
        system: bootstrap.summarized(part, n, config.confidence, declared) for system, part in parts.items()
    }
    first, *others = parts.values()
    gaps = bootstrap.paired(first, others[0], n, config.confidence, declared) if others else {}
    return summaries, gaps, first
