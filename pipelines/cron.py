"""Times of a schedule: five fields in a time zone -> the six fields that KFP's scheduler takes.

KFP knows one time zone for the whole cluster. So a schedule in another zone is moved by the present
difference between the two; after a change of clocks it is moved anew, which `diff` shows.
"""

from __future__ import annotations

import re
from datetime import datetime
from itertools import product
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from components.lib.core.errors import ConfigError

DAY = 24 * 60
FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
NAMES = {
    "month": "jan feb mar apr may jun jul aug sep oct nov dec".split(),
    "weekday": "sun mon tue wed thu fri sat".split(),
}
_PART = re.compile(r"(\*|[a-z]+|\d+)(?:-([a-z]+|\d+))?(?:/(\d+))?")

Fields = list[set[int]]


def convert(cron: str, zone: str, cluster_zone: str, now: datetime, where: str = "cron") -> str:
    """KFP's cron expression for `cron` in `zone`.

    Args:
        cron: minute, hour, day, month, weekday.
        zone: the IANA time zone that the schedule is meant in.
        cluster_zone: the one that KFP's scheduler works in.
        now: an aware time; the offsets of that moment count.
        where: of errors.

    Raises:
        ConfigError: for what is no cron expression or no zone, or cannot be said in the cluster's zone.
    """
    fields = _parse(cron, where)
    offsets = [now.astimezone(_zone(name, where)).utcoffset() for name in (cluster_zone, zone)]
    assert offsets[0] is not None and offsets[1] is not None
    minutes = round((offsets[0] - offsets[1]).total_seconds() / 60)
    moved = _moved(fields, minutes)
    if moved is None:
        raise ConfigError(
            "these times cannot be said in the time zone of Kubeflow's scheduler", where=where,
            found=f"{cron} in {zone}", expected=f"times and days that stay together in {cluster_zone}",
            fix="name hours that fall on one day there, or use several schedules",
        )  # fmt: skip
    full = [set(range(low, (6 if name == "weekday" else high) + 1)) for name, low, high in FIELDS]
    words = [
        "*" if one == every else ",".join(map(str, sorted(one)))
        for one, every in zip(moved, full, strict=True)
    ]
    return " ".join(["0", *words])


def _parse(cron: str, where: str) -> Fields:
    words = cron.lower().split()
    expected = "minute hour day month weekday, such as 30 3 * * mon-fri"
    if len(words) != len(FIELDS):
        raise ConfigError("a cron expression has five fields", where=where, found=cron, expected=expected)
    fields = []
    for (name, low, high), word in zip(FIELDS, words, strict=True):
        values: set[int] = set()
        for part in word.split(","):
            found = _values(part, name, low, high)
            if not found:
                what = f"the field '{name}' of a cron expression is wrong"
                raise ConfigError(what, where=where, found=part, expected=f"{low} to {high}, * or */n")
            values |= found
        fields.append({value % 7 for value in values} if name == "weekday" else values)
    return fields


def _values(part: str, name: str, low: int, high: int) -> set[int]:
    """What one part of a field stands for; empty if it is wrong."""
    found = _PART.fullmatch(part)
    if found is None or (found[1] == "*" and found[2]):
        return set()
    ends = (low, high) if found[1] == "*" else (_number(found[1], name), _number(found[2] or found[1], name))
    first, last = ends[0], high if found[3] and not found[2] else ends[1]
    step = int(found[3] or 1)
    if not low <= first <= last <= high or not step:
        return set()
    return set(range(first, last + 1, step))


def _number(word: str, name: str) -> int:
    if word.isdigit():
        return int(word)
    names = NAMES.get(name, [])
    return names.index(word[:3]) + (name == "month") if word[:3] in names else -1


def _moved(fields: Fields, minutes: int) -> Fields | None:
    """The fields `minutes` later; None where no five fields say that."""
    minute, hour, day, month, weekday = fields
    times = [h * 60 + m + minutes for h, m in product(hour, minute)]
    hours, parts = {t % DAY // 60 for t in times}, {t % 60 for t in times}
    if {t % DAY for t in times} != {h * 60 + m for h, m in product(hours, parts)}:
        return None
    carries = {t // DAY for t in times}
    every_day = len(day) == 31 and len(month) == 12
    if carries != {0} and not (every_day and (len(weekday) == 7 or len(carries) == 1)):
        return None
    carry = 0 if len(weekday) == 7 else carries.pop()
    return [parts, hours, day, month, {(d + carry) % 7 for d in weekday}]


def _zone(name: str, where: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        what = "there is no such time zone"
        raise ConfigError(what, where=where, found=name, expected="Europe/Berlin, UTC, ...") from error
