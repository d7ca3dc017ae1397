"""Decides whether pre-training pays: rounds of one preset on your data, each longer, until it is shown.

A verdict that is looked at after every round would err more often than it says. Round k is therefore judged
at an error of ERROR / 2^k; these sum to less than ERROR however many rounds there are: alpha spending by the
union bound (Lan and DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 1983).
"""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from dataclasses import dataclass
from typing import Any

from components.lib.core.errors import TrunklineError, UsageError
from components.lib.storage import objects
from pipelines import local, parameters, runners

ERROR = 0.05  # chance of a wrong verdict, over all rounds
FIRST = 0.1  # share of the time that the first round pre-trains
LEAST = 0.1  # minutes
LONGER = 10  # times: the training that is estimated


@dataclass(frozen=True)
class Round:
    """One run: minutes of pre-training, seconds of everything, and its `verdict.json`."""

    minutes: float
    seconds: float
    tasks: list[dict[str, Any]]

    def shown(self) -> bool:
        """Whether the trunk beats every other start, on every task and with any number of labels."""
        rows = [(task, row) for task in self.tasks for row in task["labels"]]
        return bool(rows) and all(min(_gains(task, row), default=0.0) > 0 for task, row in rows)


def main(words: list[str] | None = None) -> int:
    """Runs the rounds; returns the exit code of the stage that failed, or 0."""
    parser = local.parser()
    parser.add_argument("--minutes", type=float, default=10.0, help="of everything")
    parser.set_defaults(preset="decide")
    arguments = parser.parse_args(words)
    try:
        given = parameters.read(arguments)
        if arguments.pipeline != "training" or given["overrides"].get("tasks") == []:
            raise UsageError("labels decide", where="--labels", expected="LABELS=my/labels.csv")
        if arguments.minutes < LEAST:
            found, expected = arguments.minutes, f"at least {LEAST:g}"
            raise UsageError(
                "there is too little time to train in", where="--minutes", found=found, expected=expected
            )
        runners.check(arguments.runner, given)
    except TrunklineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    begun, rounds, minutes = time.monotonic(), list[Round](), FIRST * arguments.minutes
    while not rounds or not rounds[-1].shown():
        if rounds:
            left = arguments.minutes - (time.monotonic() - begun) / 60
            minutes = left - (rounds[-1].seconds / 60 - rounds[-1].minutes)  # the rest takes as long again
            if minutes < 2 * rounds[-1].minutes:
                break
        start = time.monotonic()
        spent = {"pretraining.minutes": round(minutes, 3), "evaluation.confidence": _confidence(len(rounds))}
        code, run_id = local.run(arguments, {**given, "overrides": {**given["overrides"], **spent}})
        if code:
            return code
        tasks = json.loads(objects.connect(arguments.store).read(f"runs/{run_id}/verdict.json"))["tasks"]
        rounds.append(Round(minutes, time.monotonic() - start, tasks))
    for line in told(rounds, arguments):
        print(line)
    return 0


def _confidence(before: int) -> float:
    return 1 - ERROR / 2 ** (before + 1)


def told(rounds: list[Round], arguments: Any) -> list[str]:
    """The verdict, what more time would bring, and how to go on."""
    last = rounds[-1]
    end = "decided" if last.shown() else "the time is up"
    lines = ["", f"{end} after {len(rounds)} round{'s' if len(rounds) > 1 else ''}"]
    for task in last.tasks:
        lines += [f"  {task['name']}: {task['sentence']}"]
        lines += [f"    {_estimate(rounds, task['name'], number)}" for number in range(len(task["labels"]))]
    source = f" SOURCE={shlex.quote(arguments.source)}" if arguments.source else ""
    labels = f" LABELS={shlex.quote(arguments.labels)}" if arguments.labels else ""
    words = shlex.quote(" ".join([f"pretraining.minutes={LONGER * last.minutes:.3g}", *arguments.set]))
    return [*lines, f"to go on: make run PRESET={arguments.preset}{source}{labels} SET={words}"]


def _estimate(rounds: list[Round], name: str, number: int) -> str:
    """What the trunk would reach with LONGER times the training: a straight line over log minutes."""
    row = _row(rounds[-1], name, number)
    reached = row["starts"]["trunk"]["value"]
    words = f"{row['count']:,} labels: the trunk {reached:.3f} after {rounds[-1].minutes:.1f} minutes"
    if rounds[-1].shown():
        return f"{words}, which is shown to be best"
    if len(rounds) < 2:
        return f"{words}; the time was too short for a second round, which would show a trend"
    before = _row(rounds[-2], name, number)["starts"]["trunk"]["value"]
    slope = (reached - before) / math.log(rounds[-1].minutes / rounds[-2].minutes)
    ends = sorted((reached, reached + slope * math.log(LONGER)))
    return f"{words}; with {LONGER} times as many, {ends[0]:.3f} to {ends[1]:.3f} by its trend"


def _row(one: Round, name: str, number: int) -> dict[str, Any]:
    return next(task for task in one.tasks if task["name"] == name)["labels"][number]


def _gains(task: dict[str, Any], row: dict[str, Any]) -> list[float]:
    """The pessimistic end of the trunk's advantage over each other start."""
    ends = []
    for one in row["differences"]:
        if "trunk" in (one["of"], one["over"]):
            flipped = (one["over"] == "trunk") != (task["better"] == "lower")
            end = one["high"] if flipped else one["low"]
            ends.append(-math.inf if end is None else -end if flipped else end)
    return ends


if __name__ == "__main__":
    sys.exit(main())
