"""Whether probabilities mean what they say, and what abstaining buys, for the reader of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from components.lib.pages import scorecard
from components.lib.pages.charts import GREY, Series

Facts = Mapping[str, Any]


def figures(facts: Facts) -> dict[str, object]:
    """Temperature, calibration error before and after, and what is said of the surest answers."""
    found = facts["calibration"]
    before, after = (f"{found[at]['value']:.4f} ({scorecard.span(found[at])})" for at in ("before", "after"))
    if found["temperature"] in (None, 1.0):
        return {"calibration error": after, "the surest answers": found["sentence"]}
    change = scorecard.span(found["difference"], differences=True)
    return {
        "temperature, by held-out training labels": f"{found['temperature']:g}",
        "calibration error before": before,
        "calibration error after": after,
        f"change in points, {scorecard.level(facts)} interval": change,
        "the surest answers": found["sentence"],
    }


def diagram(facts: Facts) -> list[Series]:
    """Accuracy over confidence, in bins, before and after; the diagonal is perfect."""
    bins = facts["calibration"]["bins"]
    same = bins["before"] == bins["after"]
    series = [_series("calibrated", bins["after"], "confidence", 0)]
    series += [] if same else [_series("before", bins["before"], "confidence", 1)]
    return [*series, Series("as it should be", [0.0, 1.0], [0.0, 1.0], colour=GREY, dashed=True)]


def coverage(facts: Facts) -> list[Series]:
    """Accuracy of the surest answers over the share of examples that are answered."""
    return [_series("accuracy of what is answered", facts["calibration"]["coverage"], "share", 0)]


def _series(name: str, rows: list[dict[str, float]], x: str, colour: int) -> Series:
    at, y, low, high = ([row[key] for row in rows] for key in (x, "value", "low", "high"))
    return Series(name, at, y, low, high, colour=colour)
