"""Explanation of a few answers: which words or pixels spoke for them, and whether they add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from components.evaluation.outcomes import Columns
from components.evaluation.system import System
from components.lib.core import plugins
from components.lib.models.attribution import COMPLETE

MODALITIES = "components.lib.modalities"
SAMPLE = 200  # examples that a baseline is computed of


def explained(
    system: System, modality: str, inputs: Mapping[str, Sequence[Any]], scored: Columns, count: int
) -> dict[str, Any]:
    """Attributions of the answers that are surest and wrong, and as many that are surest and right.

    Args:
        system: the branch.
        inputs: role -> values of the test examples.
        scored: outcomes of the branch.
        count: examples, at most.

    Returns:
        {"items": [{"true", "predicted", "confidence", "missing", "complete", and "pieces" or "picture"}],
        "note": how to read them}; {} where nothing is explained, or the modality or the task has none.
    """
    if not count or not hasattr(system.task, "decided"):
        return {}
    if not plugins.offers(MODALITIES, modality, "explanation"):
        return {}
    plugin = plugins.load(MODALITIES, modality, "explanation")
    if list(inputs) != [plugin.ROLE]:
        return {}
    empty = plugin.baseline(system.model, system.reader, inputs[plugin.ROLE][:SAMPLE])
    items = []
    for place in chosen(scored, count):
        one = {role: values[place] for role, values in inputs.items()}
        target = int(scored["prediction"][place])
        found, drawn = plugin.explained(system.model, system.reader, one, target, empty)
        items.append(
            {
                **drawn,
                "true": system.names[int(scored["label"][place])],
                "predicted": system.names[target],
                "confidence": round(float(scored["confidence"][place]), 4),
                "missing": round(found.missing, 6),
                "complete": found.complete,
            }
        )
    return {"items": items, "note": note(items)}


def chosen(scored: Columns, count: int) -> list[int]:
    """Places of the surest wrong answers, then of the surest right ones: half of each, if there are."""
    order = np.lexsort((np.arange(len(scored["label"])), -scored["confidence"]))
    right = (scored["label"] == scored["prediction"])[order]
    wrong = order[~right][: max(count // 2, count - int(right.sum()))]
    return [*wrong.tolist(), *order[right][: count - len(wrong)].tolist()]


def note(items: Sequence[Mapping[str, Any]]) -> str:
    """What was computed, and of how many pictures it adds up."""
    failed = sum(not one["complete"] for one in items)
    told = (
        f"{failed} of {len(items)} do NOT add up, by more than {COMPLETE:.0%}: they say nothing"
        if failed
        else f"all {len(items)} add up to within {COMPLETE:.0%}"
    )
    return (
        "Integrated gradients of the answered class's logit, from an input that says nothing: what speaks "
        "for the answer is green or blue, what speaks against it orange. "
        f"Attributions have to add up to the logit: {told}."
    )
