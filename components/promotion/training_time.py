"""How the time of a training was spent, and how fast it went: what the meter of the engine measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.pages import page
from components.lib.pages.page import NOTHING

USES = {  # what the meter calls it: what a reader does
    "ideal": "steps at their usual pace",
    "slow_steps": "steps that took longer than that",
    "data": "waiting for data",
    "checkpoint": "waiting for checkpoints",
    "evaluation": "validation",
    "report": "rows of the history",
    "startup": "getting ready",
    "restore": "reading a checkpoint",
    "interruption": "from a checkpoint to the next start",
}
OTHER = "anything else"


def spending(measured: Mapping[str, Any]) -> list[list[str]]:
    """Rows: what the time went to, how much of it, its share; none for a trunk that nobody measured."""
    whole = measured.get("scheduled_seconds")
    if not whole:
        return []
    spent = {words: measured.get(f"{name}_seconds", 0.0) for name, words in USES.items()}
    spent[OTHER] = max(0.0, whole - sum(spent.values()))
    return [[words, page.seconds(value), _share(value / whole)] for words, value in spent.items() if value]


def rates(measured: Mapping[str, Any], unit: str) -> dict[str, object]:
    """Names and values; what was not measured is left out.

    Args:
        measured: of the trunk's manifest.
        unit: what the trunk reads, such as tokens.
    """
    peak, memory = measured.get("peak_flops_per_second"), measured.get("memory_bytes")
    padded = {
        f"{unit}/s, padding not counted": measured.get("units_per_second"),
        f"{unit}/s, padding included": measured.get("padded_units_per_second"),
        "share of padding": _share(measured.get("padding")),
    }
    shown = {
        "goodput": _share(measured.get("goodput")),
        **(padded if measured.get("padding") else {f"{unit}/s": measured.get("units_per_second")}),
        "model FLOP/s utilisation": _share(measured.get("mfu")),
        "the devices' peak, measured then": f"{peak / 1e9:,.0f} GFLOP/s" if peak else NOTHING,
        "processor time of all processes": page.seconds(measured.get("cpu_seconds")),
        "most memory of a process": f"{memory / 1e9:.2f} GB" if memory else NOTHING,
    }
    return {name: value for name, value in shown.items() if value not in (None, NOTHING)}


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.1%}"
