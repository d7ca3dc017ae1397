"""`submit --wait` names the step that waits for its pod, by what a real server said of one."""

import json
from pathlib import Path

import pytest

from pipelines import submit, waiting
from tests.fakes.kubeflow_server import Backend, serving

RECORDED = Path(__file__).parents[1] / "fakes" / "recordings" / "kubeflow_tasks.json"


def tasks(moment):
    """The tasks of the run as they were then."""
    found = []
    for task in json.loads(RECORDED.read_text()):
        past = [one for one in task["state_history"] if one["update_time"] <= moment]
        if past and task["start_time"] <= moment:
            found.append({**task, "state_history": past, "state": past[-1].get("state")})
    return found


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("2026-11-28T11:58:15Z", "root (its driver)"),
        ("2026-11-28T11:58:35Z", "preflight (its driver)"),
        ("2026-11-28T12:02:00Z", "preflight"),  # ImagePullBackOff since 11:58:40
        ("2026-11-28T12:10:00Z", "close"),
        ("2026-11-28T12:30:00Z", ""),
    ],
)
def test_a_step_that_waits_for_its_pod_is_named_once_with_the_command_that_tells_why(
    moment, step, monkeypatch, capsys, tmp_path
):
    monkeypatch.setattr(waiting, "PATIENCE", 0.05)
    backend = Backend(release="2.17", states=["RUNNING"] * 30 + ["CANCELED"])

    def details(method, path):
        for run in backend.runs.values():
            run["run_details"] = {"task_details": tasks(moment)}

    backend.before = details
    with serving(backend) as uri:
        words = f"--preset smoke --endpoint {uri} --every 0.01 --store {tmp_path} --wait"
        assert submit.main(words.split()) == 75
    said = [line for line in capsys.readouterr().err.splitlines() if "has waited for its pod" in line]
    assert [line.partition(" has waited")[0] for line in said] == ([step] if step else [])
    which = "--selector workflows.argoproj.io/workflow=training-lw7k2 "
    assert all(which in line and "kubectl describe" in line for line in said)
