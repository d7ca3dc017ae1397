"""F24: two runs that want the same, or move the same alias, at once; both end well."""

import signal

import pytest

from components.lib.storage import lease
from tests.faults.lab import ALONE, Lab

STRUCK = ("SIGKILL", "SIGSTOP", "SIGTERM")


@pytest.mark.parametrize(
    "struck", ["nothing", *(pytest.param(one, marks=pytest.mark.long) for one in STRUCK)]
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
    if struck == "SIGTERM":  # it ends, though the second takes the lease that it gives back
        lab.until(second, lambda: any("waiting." in key for key in lab.store.objects.keys("launches/")))
        first.terminate()
    done = lab.end(second)
    assert done.code == 0 and "run first makes the same" in done.log
    assert ("resumed after step" in done.log) == (struck != "nothing")
    if struck == "SIGSTOP":
        first.send_signal(signal.SIGCONT)
    assert first.wait(60) == {"SIGKILL": -9, "SIGTERM": 75}.get(struck, 0), (lab.folder / "1.log").read_text()
    lab.assert_whole(reference, done)
