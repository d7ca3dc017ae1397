"""Slices of the test examples: metrics by a field or by length, with intervals and paired differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from components.evaluation.config import Config
from components.evaluation.gaps import gaps
from components.evaluation.intervals import estimates
from components.evaluation.outcomes import Columns
from components.lib import modalities
from components.lib.core.bootstrap import Statistic
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

FILE = "slices.parquet"  # of a branch
MOST = 20  # values of a field that are told apart
PARTS = 4  # of a number: its quarters


@dataclass(frozen=True)
class Slice:
    """Test examples that have a value of a field in common; `places` is where they are."""

    field: str
    value: str
    places: Any


def read(store: Store, branch: Manifest) -> list[Slice]:
    """Those of a branch, which may have none."""
    if FILE not in branch.names(FILE):
        return []
    table = pq.read_table(store.open(branch, FILE))
    unit = getattr(modalities.load(branch.facts["modality"]), "LENGTH", "")
    columns = ((name, table.column(name).to_numpy(zero_copy_only=False)) for name in table.column_names)
    return [
        one
        for name, values in columns
        for one in (_numbers(name, values, unit) if values.dtype.kind == "f" else _words(name, values))
    ]


def _words(name: str, values: Any) -> Iterator[Slice]:
    """The values with the most examples, and the others together."""
    counted = sorted(Counter(values.tolist()).items(), key=lambda item: (-item[1], item[0]))
    shown = counted[:MOST]
    for value, _ in shown:
        yield Slice(name, value, np.flatnonzero(values == value))
    if rest := len(counted) - len(shown):
        others = ~np.isin(values.astype(str), [value for value, _ in shown])
        yield Slice(name, f"{rest:,} other values", np.flatnonzero(others))


def _numbers(name: str, values: Any, unit: str) -> Iterator[Slice]:
    """Quarters of the examples, as far as equal numbers let them apart."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, PARTS + 1)[1:-1], method="inverted_cdf"))
    part = np.searchsorted(edges, values)
    for place in np.unique(part):
        places = np.flatnonzero(part == place)
        low, high = values[places].min(), values[places].max()
        ends = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
        yield Slice(name, f"{ends} {unit}".strip(), places)


def metrics(
    config: Config,
    found: list[Slice],
    task: Any,
    systems: Mapping[str, Columns],
    statistic: Callable[[str, Columns], Statistic],
) -> list[dict[str, Any]]:
    """Every metric of every slice, and how the branch differs there from champion and anchor.

    Args:
        systems: outcomes of "challenger", and of "champion" and "anchor" where there are such.
        statistic: of a system's outcomes.

    Returns:
        Rows {"field", "value", "examples", "metrics", "champion_metrics", "difference", "champion_gaps",
        "anchor_gaps"}; what there is nothing to compare with is None.
    """
    rows = []
    for one in found:
        n, parts = len(one.places), dict[str, Statistic]()
        for name, columns in systems.items():
            own = {key: values[one.places] for key, values in columns.items()}
            parts[name] = statistic(name, own)
        rivals = {name: part for name, part in parts.items() if name != "anchor"}
        summaries, difference, _ = estimates(config, rivals, n, task.METRICS)
        primary = task.PRIMARY, task.METRICS[task.PRIMARY]
        apart = {
            name: gaps(parts["challenger"], parts[name], n, *primary)
            for name in parts.keys() - {"challenger"}
        }
        row = {"field": one.field, "value": one.value, "examples": n, "metrics": summaries["challenger"]}
        row |= {"champion_metrics": summaries.get("champion"), "difference": difference or None}
        rows.append(row | {f"{name}_gaps": apart.get(name) for name in ("champion", "anchor")})
    return rows
