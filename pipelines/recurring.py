"""Declared schedules: what a file says, and what a recurring run of KFP must be to do it.

Times are in the time zone of KFP's scheduler: UTC, unless its `CRON_SCHEDULE_TIMEZONE` names another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.core.errors import ConfigError, ConfigErrors, TrunklineError, collected
from components.lib.core.settings import from_dict, setting
from components.preflight.plan import fits, resolve
from components.preflight.settings import parse
from pipelines.cluster import Cluster

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?")
_TIMES = re.compile(r"(\*|\w+)(?:-(\w+))?(?:/[1-9]\d*)?")
FIELDS = {  # of a cron expression: bounds and names
    "minute": (0, 59, ""),
    "hour": (0, 23, ""),
    "day": (1, 31, ""),
    "month": (1, 12, "jan feb mar apr may jun jul aug sep oct nov dec"),
    "weekday": (0, 6, "sun mon tue wed thu fri sat"),
}


@dataclass(frozen=True)
class Schedule:
    """A file of `pipelines/schedules`: what runs, and when."""

    cron: str = setting(help="minute hour day month weekday, such as 30 3 * * mon-fri")
    preset: str = setting(help="a file of pipelines/presets")
    pipeline: str = setting("training", "which graph", choices=("training", "finetuning"))
    overrides: dict[str, Any] = setting({}, "settings that differ from the preset's")
    store: str = setting("", "s3://bucket/prefix; empty: TRUNKLINE_STORE of the cluster")
    tracking_uri: str = setting("", "MLflow server; empty: MLFLOW_TRACKING_URI of the cluster")
    skip_unchanged: bool = setting(True, "do nothing where the champion knows all of the data")
    enabled: bool = setting(True, "whether it starts runs")

    def check(self) -> Iterator[TrunklineError]:
        """What would only fail at night: the settings of the run."""
        try:
            fits(self.overrides)
            resolve(self.preset, self.overrides)
        except ConfigErrors as error:
            yield from error.errors
        except TrunklineError as error:
            yield error


def load(folder: Path) -> dict[str, Schedule]:
    """The schedule of each file, by its name; raises ConfigErrors with all that is wrong in them."""
    if not folder.is_dir():
        raise ConfigError("there is no folder of schedules", where=str(folder))
    schedules: dict[str, Schedule] = {}
    with collected() as errors:
        for path in sorted(folder.glob("*.yaml")):
            if not _NAME.fullmatch(path.stem):
                expected = "lower-case letters, digits and '-'"
                errors.append(ConfigError("not a name", where=path.name, expected=expected))
                continue
            try:
                values = parse(path.read_text(encoding="utf-8"), path.name)
                schedules[path.stem] = from_dict(Schedule, values, path.stem)
                _check(schedules[path.stem].cron, f"{path.stem}.cron")
            except ConfigErrors as error:
                errors.extend(error.errors)
            except TrunklineError as error:
                errors.append(error)
    return schedules


def wanted(schedule: Schedule, pipeline_id: str, version_id: str, cluster: Cluster) -> dict[str, Any]:
    """What the recurring run of a schedule must show; `enabled` is apart, as it can be changed.

    It is pinned to a version: else KFP would run whatever somebody has uploaded last.
    """
    given = {name: getattr(schedule, name) for name in ("preset", "overrides", "store", "tracking_uri")}
    if schedule.pipeline == "training":
        given["skip_unchanged"] = schedule.skip_unchanged
    return {
        "cron": f"0 {schedule.cron}",  # without seconds in front, KFP takes the minutes for them
        "pipeline": pipeline_id,
        "version": version_id,
        "parameters": given,
        "service_account": cluster.service_account,
        "max_concurrency": 1,
        "no_catchup": True,
    }


def arguments(want: dict[str, Any]) -> dict[str, Any]:
    """The same, as kfp.Client.create_recurring_run takes it."""
    return {
        "cron_expression": want["cron"],
        "pipeline_id": want["pipeline"],
        "version_id": want["version"],
        "params": want["parameters"],
        "service_account": want["service_account"] or None,
        "max_concurrency": want["max_concurrency"],
        "no_catchup": want["no_catchup"],
    }


def observed(recurring: Any) -> dict[str, Any]:
    """The same of a recurring run, as the server shows it."""
    reference, trigger = recurring.pipeline_version_reference, recurring.trigger
    cron = trigger.cron_schedule if trigger else None
    config = recurring.runtime_config
    return {
        "cron": (cron.cron if cron else "") or "",
        "pipeline": (reference.pipeline_id if reference else "") or "",
        "version": (reference.pipeline_version_id if reference else "") or "",
        "parameters": (config.parameters if config else {}) or {},
        "service_account": recurring.service_account or "",
        "max_concurrency": int(recurring.max_concurrency or 0),
        "no_catchup": bool(recurring.no_catchup),
    }


def differences(found: dict[str, Any], want: dict[str, Any], names: Mapping[str, str]) -> list[str]:
    """What differs, in words. A server that names its own default service account agrees with none.

    Args:
        names: of versions, by their ids.
    """
    keys = [key for key in want if found[key] != want[key]]
    if not want["service_account"]:
        keys = [key for key in keys if key != "service_account"]
    return [f"{key}: {_said(found[key], names)} -> {_said(want[key], names)}" for key in keys]


def _said(value: Any, names: Mapping[str, str]) -> str:
    return names.get(value, repr(value)) if isinstance(value, str) else repr(value)


def _check(cron: str, where: str) -> None:
    """Raises ConfigError for what is not a cron expression to KFP's scheduler (robfig/cron)."""
    expected = "minute hour day month weekday, such as 30 3 * * mon-fri"
    words = cron.lower().split()
    if len(words) != len(FIELDS):
        raise ConfigError("a cron expression has five fields", where=where, found=cron, expected=expected)
    for word, (name, (low, high, names)) in zip(words, FIELDS.items(), strict=True):
        known = {f"{value:0{digits}}": value for value in range(low, high + 1) for digits in (1, 2)}
        known |= {text: low + number for number, text in enumerate(names.split())}
        for part in word.split(","):
            times = _TIMES.fullmatch(part)
            first, last = (times[1], times[2] or times[1]) if times else ("", "")
            if not first == last == "*" and known.get(first, high + 1) > known.get(last, -1):
                what = f"the field '{name}' of a cron expression is wrong"
                expected = f"{low} to {high}, {names}, * or */n".replace(", ,", ",")
                raise ConfigError(what, where=where, found=part, expected=expected)
