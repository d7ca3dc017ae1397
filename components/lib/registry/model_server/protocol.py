"""MLflow's protocol of `/invocations` in JSON: reading a request within bounds, joining several into one.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally#json-input
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.lib.registry.model_server.limits import Limits

ROWS, COLUMNS, SPLIT = (
    ("inputs", "instances", "dataframe_records"),
    ("inputs", "instances"),
    "dataframe_split",
)
FORMATS = (*ROWS, SPLIT)


class Refused(Exception):
    """A request that is not answered; the status says whose fault it is."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Question:
    """A request: `form` of its inputs, their `value`, and `params`; `key` tells which can be joined."""

    form: str
    value: Any
    params: dict[str, Any] | None
    records: int
    key: str

    @property
    def content(self) -> dict[str, Any]:
        """As the client sent it."""
        return {self.form: self.value} | ({} if self.params is None else {"params": self.params})


def parse(body: bytes, limits: Limits) -> Question:
    """The question of a body; raises Refused with 400 or 413."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(400, f"the body is no JSON: {error}") from None
    found = [form for form in FORMATS if form in content] if isinstance(content, dict) else []
    if len(found) != 1:
        raise Refused(400, f"the body must be an object with one of {', '.join(FORMATS)}")
    form, params = found[0], content.get("params")
    if set(content) - {form, "params"} or not (params is None or isinstance(params, dict)):
        raise Refused(400, f"beside {form} there may only be params, an object")
    value = content[form]
    records, shape = _counted(form, value)
    if records > limits.records:
        raise Refused(413, f"{records} records; at most {limits.records} are taken in a request")
    if (longest := _longest(value)) > limits.characters:
        raise Refused(413, f"an input of {longest} characters; at most {limits.characters} are taken")
    return Question(form, value, params, records, json.dumps([form, shape, params], sort_keys=True))


def joined(questions: Sequence[Question]) -> dict[str, Any]:
    """One content with the inputs of questions of one key, in order."""
    first = questions[0]
    if len(questions) == 1:
        return first.content
    if first.form == SPLIT:
        rows = [row for one in questions for row in one.value["data"]]
        return first.content | {SPLIT: {"columns": first.value["columns"], "data": rows}}
    if isinstance(first.value, dict):
        names = first.value
        return first.content | {
            first.form: {k: [v for one in questions for v in one.value[k]] for k in names}
        }
    return first.content | {first.form: [row for one in questions for row in one.value]}


def _counted(form: str, value: Any) -> tuple[int, Any]:
    """Records, and what must be equal for two to be joined; raises Refused for what holds no records."""
    if form == SPLIT and isinstance(value, dict) and isinstance(value.get("data"), list):
        if set(value) == {"columns", "data"} and isinstance(value["columns"], list):
            return len(value["data"]), value["columns"]
        raise Refused(400, f"{SPLIT} must have columns and data alone")
    if form in COLUMNS and isinstance(value, dict) and value:
        if len({len(column) if isinstance(column, list) else -1 for column in value.values()}) != 1:
            raise Refused(400, f"each column of {form} must be a list, and all of one length")
        column = next(iter(value.values()))
        if isinstance(column, list):
            return len(column), sorted(value)
    if form in ROWS and isinstance(value, list):
        named = {tuple(sorted(row)) for row in value if isinstance(row, dict)}
        return len(value), sorted(map(list, named))
    raise Refused(400, f"{form} must be a list of records, or columns by name")


def _longest(value: Any) -> int:
    """Characters of the longest text inside."""
    longest, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            longest = max(longest, len(one))
        elif isinstance(one, dict):
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return longest
