"""Served answers to a few frozen examples: what a server asks a model before it takes traffic."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from components.evaluation.system import System
from components.lib.core.errors import DataError
from components.lib.registry.mlflow_model import Use

COUNT = 8  # examples that are asked
BYTES = 1 << 19  # of all of them together, as a client sends them


def answered(system: System, facts: Mapping[str, Any], inputs: Mapping[str, list[Any]]) -> str:
    """A question of MLflow's protocol with its predictions, as JSON.

    Args:
        system: the branch.
        facts: of the branch: `kind` and `modality`.
        inputs: role -> values of the frozen examples.

    Returns:
        The predictions are those of parameters at their lowest: the surest words of a model that writes, on
        whichever machine. There are none where no example is one that a client could send.
    """
    use = Use.of(facts["kind"], facts["modality"])
    roles = [role for role in use.inputs if role in inputs]
    rows: list[tuple[list[Any], list[Any]]] = []
    room = BYTES
    for values in zip(*(inputs[role] for role in roles), strict=True):
        sent = [_sent(value) for value in values]
        size = len(json.dumps(sent))
        if len(rows) < COUNT and size <= room:
            try:
                read = [
                    system.reader.served([value], role)[0] for role, value in zip(roles, sent, strict=True)
                ]
            except DataError:  # no client may send it
                continue
            rows, room = [*rows, (sent, read)], room - size
    asked = {role: [sent[place] for sent, _ in rows] for place, role in enumerate(roles)}
    given = {role: [read[place] for _, read in rows] for place, role in enumerate(roles)}
    bounds = getattr(system.task, "PARAMS", {})
    params = {name: low for name, (_, low, _) in bounds.items()}
    question: dict[str, Any] = {"inputs": asked if len(use.inputs) > 1 else asked[roles[0]]}
    question |= {"params": params} if params else {}
    predictions = system.task.answer(system.model, system.reader, given, **params) if rows else []
    return json.dumps({"question": question, "predictions": predictions}, ensure_ascii=False)


def _sent(value: Any) -> Any:
    """An input as JSON has it."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.tolist() if hasattr(value, "tolist") else value
