"""What the page of an evaluation shows and nothing decides: confusions, surest errors, examples, pictures."""

from __future__ import annotations

import base64
import inspect
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from components.evaluation import confusion, explanation
from components.evaluation.outcomes import Columns
from components.evaluation.system import System
from components.lib.core import plugins
from components.lib.storage import lineage
from components.lib.storage.artifacts import Manifest
from components.lib.storage.stage import Context

MODALITIES = "components.lib.modalities"
SHOWN = 6  # examples that a task may draw


class Examples(NamedTuple):
    """The test set: role -> values, and labels."""

    inputs: dict[str, list[Any]]
    labels: list[Any]


def details(
    context: Context,
    branch: Manifest,
    system: System,
    facts: dict[str, Any],
    scored: Columns,
    test: Examples,
    explain: int = 0,
) -> dict[str, Any]:
    """Each part by its name; one that fails is told and left out.

    Args:
        explain: answers that are explained.
    """
    classes, inputs = facts["classes"], next(iter(test.inputs.values()))

    def drawn(what: str, draw: Callable[[], Any], instead: Any) -> Any:
        try:
            return draw()
        except Exception as error:
            traceback.print_exc()
            context.tell(f"{facts['task']}: {what} could not be drawn: {error!r}")
            return instead

    shown = partial(confusion.confident_errors, scored, inputs, classes, system.reader.excerpt)
    corpus = partial(_corpus, context, branch)
    why = partial(explanation.explained, system, facts["modality"], test.inputs, scored, explain)
    frequent = partial(confusion.worst, facts["confusion"] or [], classes)
    return {
        "worst_confusions": drawn("the frequent confusions", frequent, []),
        "confident_errors": drawn("the surest errors", shown, []),
        "pictures": drawn("the pictures", partial(_pictures, system, test), {}),
        "explained": drawn("what the answers rest on", why, {}),
        "shown": drawn("the examples", partial(_shown, system, test, corpus), {}),
    }


def _corpus(context: Context, branch: Manifest) -> Iterator[list[str]]:
    """Batches of the texts of pre-training; of other modalities none."""
    found = lineage.ancestors(context.store, branch).get("ingestion")
    if found is not None and plugins.offers(MODALITIES, branch.facts["modality"], "corpus"):
        yield from plugins.load(MODALITIES, branch.facts["modality"], "corpus").texts(context.store, found)


def _shown(system: System, test: Examples, corpus: Callable[[], Iterator[list[str]]]) -> dict[str, Any]:
    """What a task shows of the first examples in a table: how to read it, headers and rows."""
    task = system.task
    if not hasattr(task, "shown"):
        return {}
    first = {role: values[: 2 * SHOWN] for role, values in test.inputs.items()}
    given = {"corpus": corpus()} if "corpus" in inspect.signature(task.shown).parameters else {}
    note, headers, rows = task.shown(system.model, system.reader, first, test.labels[: 2 * SHOWN], **given)
    return {"note": note, "headers": headers, "rows": rows}


def _pictures(system: System, test: Examples) -> dict[str, Any]:
    """What a task draws of the first examples: how to read it, and PNG files in base64 with captions."""
    task = system.task
    if not hasattr(task, "pictures"):
        return {}
    first = {role: values[:SHOWN] for role, values in test.inputs.items()}
    note, shown = task.pictures(system.model, system.reader, first, test.labels[:SHOWN])
    return {"note": note, "items": [[base64.b64encode(png).decode(), caption] for png, caption in shown]}
