"""Beats, their end, and last words, as the process that watches reads them."""

import pytest

from components.lib.core import heartbeat
from components.lib.core.errors import (
    ConfigError,
    ConfigErrors,
    DataError,
    Interrupted,
    WorkerLost,
    revived,
    root_cause,
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(heartbeat.VARIABLE, str(tmp_path))
    monkeypatch.setattr(heartbeat, "INTERVAL", 0.0)
    return tmp_path


def say(monkeypatch, rank, step):
    monkeypatch.setenv("RANK", str(rank))
    heartbeat.beat(step)


def test_the_newest_beat_counts(folder, monkeypatch):
    assert heartbeat.latest(folder) is None
    say(monkeypatch, 0, 3)
    say(monkeypatch, 1, 4)
    pulse = heartbeat.latest(folder)
    assert pulse.step == 4 and 0 <= pulse.age < 60


def test_who_is_done_is_not_watched(folder, monkeypatch):
    say(monkeypatch, 0, 9)
    say(monkeypatch, 1, 8)
    monkeypatch.setenv("RANK", "0")
    heartbeat.finish()
    (folder / "2.beat").symlink_to("gone")  # as one that is done between a look at the folder and at the file
    assert heartbeat.latest(folder).step == 8


def test_the_first_error_that_is_nobody_elses_is_the_cause(folder, monkeypatch):
    for rank, error in enumerate([WorkerLost("the others are gone"), DataError("bad", where="row 3")]):
        monkeypatch.setenv("RANK", str(rank))
        heartbeat.report_error(error)
    cause = root_cause(heartbeat.errors(folder))
    assert isinstance(cause, DataError) and cause.where == "row 3"


def test_without_a_watcher_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(heartbeat.VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    heartbeat.beat(1)
    heartbeat.report_error(DataError("x"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [DataError("a", found=1), Interrupted("b", fix="c"), ConfigErrors([ConfigError("d", where="e")])]
)
def test_an_error_survives_the_way_between_processes(error):
    again = revived(error.to_dict())
    assert type(again) is type(error) and str(again) == str(error)
    assert (again.exit_code, again.retriable) == (error.exit_code, error.retriable)
