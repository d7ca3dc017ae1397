"""F24: two runs that want the same, or move the same alias, at once; both end well."""

import signal

import pytest

from components.lib.storage import lease
from tests.faults.lab import ALONE, Lab


@pytest.mark.parametrize(
    "struck", ["nothing", *(pytest.param(name, marks=pytest.mark.long) for name in ("SIGKILL", "SIGSTOP"))]
)
@pytest.mark.fault("F24")
def test_two_runs_of_the_same_settings(prepared, tmp_path, reference, struck):
    """The second waits while the first lives, takes over from a dead one, and adopts: both succeed."""
    lab = Lab(tmp_path / "lab", prepared, ALONE)
    quick = {lease.VARIABLE: "0.2"}
    first = lab.frozen("at=12", run_id="first", **quick)
    if struck != "SIGSTOP":
        first.send_signal(signal.SIGCONT)
        lab.until(first, lambda: len(lab.commits()) >= 1)
    if struck == "SIGKILL":
        first.kill()  # it stays a zombie for a while: its process is there, its lease grows old
    second = lab.start(run_id="second", **quick)
    done = lab.end(second)
    assert done.code == 0 and "run first makes the same" in done.log
    assert ("resumed after step" in done.log) == (struck != "nothing")
    if struck == "SIGSTOP":
        first.send_signal(signal.SIGCONT)
    assert first.wait(60) == (-9 if struck == "SIGKILL" else 0), (lab.folder / "1.log").read_text()
    lab.assert_whole(reference, done)
