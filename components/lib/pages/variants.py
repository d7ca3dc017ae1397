"""The compressed variants of a branch as a table: what each costs, and what it loses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.lib.pages import scorecard

Facts = Mapping[str, Any]


def table(
    facts: Facts, measured: Facts, decided: Sequence[Facts] = ()
) -> tuple[list[str], list[list[object]]]:
    """Headers and rows: the branch and each variant that was made; no rows where none was asked for.

    Args:
        facts, measured: of the evaluation.
        decided: of promotion, on each variant; none before the gate.
    """
    made = {name: one for name, one in (facts.get("variants") or {}).items() if not one["left_out"]}
    took, share = measured.get("variants") or {}, scorecard.share(facts)
    metric, verdicts = scorecard.described(facts), {one["name"]: one for one in decided}
    headers = ["variant", metric, "loses against the branch", "its interval", "same answers", "MB"]
    headers += ["ms a record, p50", "p99", "records/s", "faster"]
    full = facts["metrics"][facts["primary"]]["value"]
    rows: list[list[object]] = [["full", full, None, None, None, _size(facts), *_speed(took, "full")]]
    for name, one in made.items():
        gap = one["difference"].get(facts["primary"]) or {}
        same = None if one["agreement"] is None else f"{one['agreement']:.1%}"
        told = [scorecard.points(gap.get("value"), share), scorecard.span(gap, differences=True, share=share)]
        value = one["metrics"][facts["primary"]]["value"]
        rows.append([name, value, *told, same, one["megabytes"], *_speed(took, name)])
    if verdicts:
        headers.append("decision")
        for row in rows:
            one = verdicts.get(str(row[0]), {})
            version = f" (version {one['version']})" if one.get("version") else ""
            row.append(f"{one['verdict']}{version}: {'; '.join(one['reasons'])}" if one else None)
    return headers, rows if made else []


def left_out(facts: Facts) -> dict[str, str]:
    """Variant -> why it could not be had."""
    variants = facts.get("variants") or {}
    return {name: one["left_out"] for name, one in variants.items() if one["left_out"]}


def _size(facts: Facts) -> object:
    return ((facts.get("comparison") or {}).get("sizes") or {}).get("trunk", {}).get("megabytes")


def _speed(took: Facts, name: str) -> list[object]:
    """p50, p99, records a second, and how many times faster than the branch."""
    if name not in took:
        return [None] * 4
    one = took[name]
    faster = f"{took['full']['p50'] / one['p50']:.2f} x"
    return [round(one["p50"], 2), round(one["p99"], 2), round(one["records_per_second"]), faster]
