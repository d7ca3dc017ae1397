"""A failpoint strikes once, where and when it was told, and proves it."""

import os
import signal
import subprocess
import sys

import pytest

from components.lib.core.errors import ServiceError
from components.lib.core.failpoints import VARIABLE, reach

PROGRAM = """
from components.lib.core.failpoints import reach
for number in range(1, 6):
    reach("place")
    print(number, flush=True)
"""


def reaching(folder, rank="0"):
    environment = {**os.environ, VARIABLE: str(folder), "RANK": rank}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    return done.returncode, len(done.stdout.split())


def test_nothing_happens_where_nothing_is_armed(tmp_path, monkeypatch):
    reach("place")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    reach("place")
    assert not list(tmp_path.iterdir())


def test_a_kill_strikes_once_at_its_count(tmp_path):
    (tmp_path / "place").write_text("kill at=3")
    assert reaching(tmp_path) == (-signal.SIGKILL, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["place.fired"]
    assert reaching(tmp_path) == (0, 5)


def test_only_the_rank_that_is_named_is_struck(tmp_path):
    (tmp_path / "place").write_text("terminate rank=1")
    assert reaching(tmp_path, "0") == (0, 5)
    assert reaching(tmp_path, "1") == (-signal.SIGTERM, 0)


def test_a_failure_can_be_raised(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "place").write_text("fail")
    with pytest.raises(ServiceError, match="asked for"):
        reach("place")
    assert not reach("place")


def test_what_is_made_at_a_place_can_be_spoiled(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    (tmp_path / "made").write_text("poison at=2")
    assert [reach("made") for _ in range(3)] == [False, True, False]
