from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.lib.core.errors import ConfigError
from pipelines.cron import convert

WINTER, SUMMER = datetime(2026, 1, 15, tzinfo=UTC), datetime(2026, 7, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "now", "expected"),
    [
        ("30 3 * * *", "UTC", WINTER, "0 30 3 * * *"),
        ("30 3 * * *", "Europe/Berlin", WINTER, "0 30 2 * * *"),
        ("30 3 * * *", "Europe/Berlin", SUMMER, "0 30 1 * * *"),
        ("0 0 * * mon", "Europe/Berlin", WINTER, "0 0 23 * * 0"),
        ("0 20 * * mon-fri", "America/New_York", WINTER, "0 0 1 * * 2,3,4,5,6"),
        ("0 3 1 * *", "UTC", WINTER, "0 0 3 1 * *"),
        ("0 12 1 jan,jul *", "Europe/Berlin", WINTER, "0 0 11 1 1,7 *"),
        ("*/30 * * * *", "Asia/Kolkata", WINTER, "0 0,30 * * * *"),
        ("15 8 * * 7", "Asia/Kolkata", WINTER, "0 45 2 * * 0"),
        ("0 */6 * * *", "Europe/Berlin", WINTER, "0 0 5,11,17,23 * * *"),
    ],
)
def test_conversion(cron, zone, now, expected):
    assert convert(cron, zone, "UTC", now) == expected


def test_a_cluster_in_the_zone_of_the_schedule():
    assert convert("30 3 1 * *", "Europe/Berlin", "Europe/Berlin", SUMMER) == "0 30 3 1 * *"


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("0 3 * *", "five fields"),
        ("0 0 3 * * *", "five fields"),
        ("60 3 * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 3 0 * *", "day"),
        ("0 3 * foo *", "month"),
        ("0 3 * * 8", "weekday"),
        ("0 5-3 * * *", "hour"),
        ("*/0 * * * *", "minute"),
        ("*-3 * * * *", "minute"),
        ("0 0 1 * *", "cannot be said"),  # the first of a month is another day in UTC
        ("0 0,12 * * mon", "cannot be said"),
        ("x", "five fields"),
    ],
)
def test_what_is_refused(cron, says):
    with pytest.raises(ConfigError) as raised:
        convert(cron, "Europe/Berlin", "UTC", WINTER)
    assert says in str(raised.value)


def test_no_such_zone():
    with pytest.raises(ConfigError, match="no such time zone"):
        convert("0 3 * * *", "Europe/Berlinn", "UTC", WINTER)


def fires(cron, moment):
    """Whether a cron expression of numbers names this moment."""
    words = cron.split()[-5:]
    values = moment.minute, moment.hour, moment.day, moment.month, moment.isoweekday() % 7
    return all(
        word == "*" or value in map(int, word.split(",")) for word, value in zip(words, values, strict=True)
    )


@settings(max_examples=100, deadline=None)
@given(
    minute=st.sampled_from([0, 15, 45]),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=3),
    days=st.one_of(st.none(), st.sets(st.integers(0, 6), min_size=1, max_size=6)),
    zone=st.sampled_from(["Asia/Kolkata", "America/Los_Angeles", "Pacific/Kiritimati", "Europe/Berlin"]),
)
def test_it_fires_at_the_same_moments(minute, hours, days, zone):
    """Every quarter of an hour of a week: the schedule in its zone and the converted one in UTC agree."""
    word = "*" if days is None else ",".join(map(str, sorted(days)))
    cron = f"{minute} {','.join(map(str, sorted(hours)))} * * {word}"
    try:
        converted = convert(cron, zone, "UTC", WINTER)
    except ConfigError as error:
        assert "cannot be said" in error.what
        return
    for quarter in range(7 * 96):
        moment = WINTER + timedelta(minutes=15 * quarter)
        assert fires(converted, moment) == fires(cron, moment.astimezone(ZoneInfo(zone)))
