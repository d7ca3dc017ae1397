"""Makes the recurring runs of a cluster what the files of a folder declare: `diff` shows, `apply` does.

KFP cannot change a recurring run, so a new one is made disabled, the old one deleted, and the new one
enabled: never do two of them start runs, and whatever kills us, the next apply completes it. A recurring
run is ours if its name and its description say so; others are never touched. Each is pinned to the version
that was applied, whatever is uploaded afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.lib.core.errors import MissingError, ServiceError, TrunklineError, UsageError
from pipelines import cluster, compile, recurring
from pipelines.kubeflow import Kubeflow, silent, with_content
from pipelines.recurring import Schedule
from pipelines.submit import EXPERIMENT, publish

FOLDER = Path(__file__).parent / "schedules"
ROUNDS = 3  # of looking again: another apply may work at the same time
CHANGES = 2  # exit code of a diff that found some


@dataclass
class Change:
    """One thing to do about one name.

    Attributes:
        words: what a reader is shown.
        create: the recurring run to make, or None.
        delete: ids that go.
        enable: id (empty: the one that is made) and whether it starts runs; None to leave that alone.
    """

    words: list[str] = field(default_factory=list)
    create: dict[str, Any] | None = None
    delete: list[str] = field(default_factory=list)
    enable: tuple[str, bool] | None = None


@dataclass(frozen=True)
class Published:
    """A pipeline of the server: its id, that of the version with our content, id -> name, newest first."""

    pipeline_id: str
    version_id: str
    names: dict[str, str]


class Schedules:
    """The declared schedules and a server.

    Args:
        owner: in the name and the description of every recurring run of ours.
    """

    def __init__(self, server: Kubeflow, declared: dict[str, Schedule], owner: str) -> None:
        self.server, self.declared, self.owner = server, declared, owner
        self.cluster = cluster.load()

    def diff(self) -> Iterator[tuple[str, Change]]:
        """Name and change of everything that is not as declared."""
        held: dict[str, list[Any]] = {name: [] for name in self.declared}
        for one in self.server.all_recurring_runs():
            name = self._ours(one)
            if name:
                held.setdefault(name, []).append(one)
        ours = self._ours_published()
        for name, found in sorted(held.items()):
            schedule = self.declared.get(name)
            gone = Change(["no longer declared"], delete=[str(one.recurring_run_id) for one in found])
            change = gone if schedule is None else self._change(schedule, found, ours[schedule.pipeline])
            if change.words:
                yield name, change

    def outdated(self) -> list[str]:
        """The pipelines of which no version has our content."""
        return [name for name, published in self._ours_published().items() if not published.version_id]

    def newer(self) -> Iterator[str]:
        """Says of which pipelines somebody has made a version after ours, which schedules do not follow."""
        for name, published in self._ours_published().items():
            newest = next(iter(published.names), "")
            if published.version_id and newest != published.version_id:
                told = f"{published.names[newest]} is newer than {published.names[published.version_id]}"
                yield f"{compile.PREFIX}{name}: {told}, which the schedules run"

    def _ours_published(self) -> dict[str, Published]:
        """Each pipeline of the schedules, as the server has it."""
        found = {}
        for name in sorted({schedule.pipeline for schedule in self.declared.values()}):
            pipeline_id = self.server.pipeline(f"{compile.PREFIX}{name}")
            versions = self.server.versions(pipeline_id) if pipeline_id else []
            ours = with_content(versions, compile.digest(compile.text(name)))
            names = {str(one.pipeline_version_id): str(one.display_name or one.name) for one in versions}
            found[name] = Published(pipeline_id, str(ours.pipeline_version_id) if ours else "", names)
        return found

    def apply(self) -> list[str]:
        """Publishes pipelines and changes recurring runs until nothing differs; returns what was done.

        Raises:
            ServiceError: if it still differs after some rounds.
        """
        done = []
        for name in self.outdated():
            publish(self.server, name)
            done.append(f"{compile.PREFIX}{name}: published")
        for _ in range(ROUNDS):
            changes = list(self.diff())
            if not changes:
                return done
            for name, change in changes:
                self._do(name, change)
                done += [f"{name}: {word}" for word in change.words]
        what, found = "the schedules do not stay as they are declared", ", ".join(name for name, _ in changes)
        raise ServiceError(
            what, where=self.server.endpoint, found=found, fix="somebody else changes them too"
        )

    def _do(self, name: str, change: Change) -> None:
        made = ""
        if change.create is not None:
            with silent():
                experiment = self.server.create_experiment(EXPERIMENT)
            made = self.server.create_recurring_run(
                experiment_id=experiment.experiment_id,
                job_name=f"{self.owner}-{name}",
                description=self._marker(name),
                enabled=False,  # until the old one is gone
                **recurring.arguments(change.create),
            ).recurring_run_id
        for one in change.delete:
            with contextlib.suppress(MissingError):  # it is gone already
                self.server.delete_recurring_run(one)
        if change.enable is not None:
            which, on = change.enable
            turn = self.server.enable_recurring_run if on else self.server.disable_recurring_run
            turn(which or made)

    def _change(self, schedule: Schedule, found: list[Any], published: Published) -> Change:
        want = recurring.wanted(schedule, published.pipeline_id, published.version_id, self.cluster)
        differences = [recurring.differences(recurring.observed(one), want, published.names) for one in found]
        right = [one for one, words in zip(found, differences, strict=True) if not words]
        keep = next((one for one in right if _enabled(one)), right[0] if right else None)
        delete = [str(one.recurring_run_id) for one in found if one is not keep]
        if keep is None:
            words = [word for words in differences for word in words] or [
                f"new: {schedule.cron}, {schedule.preset}"
            ]
            return Change(words, want, delete, ("", True) if schedule.enabled else None)
        words = [f"a second one: {one}" for one in delete]
        enable = None
        if _enabled(keep) != schedule.enabled:
            words.append("enabled" if schedule.enabled else "disabled")
            enable = str(keep.recurring_run_id), schedule.enabled
        return Change(words, None, delete, enable)

    def _marker(self, name: str) -> str:
        return f"Schedule {name} of {self.owner}. Declared in a file: changes made here do not last."

    def _ours(self, one: Any) -> str:
        """The name in our folder that a recurring run belongs to; empty if it is not ours."""
        name = str(one.display_name or "").removeprefix(f"{self.owner}-")
        return name if one.description == self._marker(name) else ""


def _enabled(one: Any) -> bool:
    """2.16 and 2.17 tell it by `status`; `mode` is what was asked for."""
    return (one.status or one.mode) in ("ENABLED", "ENABLE")


def main(words: list[str] | None = None) -> int:
    """Returns 0; for `diff` 2 if something differs; else the exit code of an error."""
    arguments = _parser().parse_args(words)
    try:
        if not arguments.owner.replace("-", "").isalnum():
            raise UsageError("an owner is a word", where="--owner", found=arguments.owner)
        declared = recurring.load(arguments.folder)
        schedules = Schedules(Kubeflow(arguments.endpoint), declared, arguments.owner)
        if arguments.action == "apply":
            print("\n".join(schedules.apply()) or "everything is as it is declared")
            return 0
        lines = [f"{compile.PREFIX}{name}: to be published" for name in schedules.outdated()]
        lines += [f"{name}: {word}" for name, change in schedules.diff() for word in change.words]
        notes = list(schedules.newer())
    except TrunklineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("\n".join([*(lines or ["everything is as it is declared"]), *notes]))
    return CHANGES if lines else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines.schedule", description=__doc__)
    endpoint = os.environ.get("KF_PIPELINES_ENDPOINT", "")
    parser.add_argument("action", choices=("diff", "apply"))
    parser.add_argument("--endpoint", default=endpoint, help="of Kubeflow Pipelines")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of schedules, one YAML file each")
    parser.add_argument("--owner", default="trunkline", help="tells our recurring runs from those of others")
    return parser


if __name__ == "__main__":
    sys.exit(main())
