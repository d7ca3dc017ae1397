"""Each recorded end of a run, closed by our own code: what the record says then, and after a Retry."""

import json
from pathlib import Path

import pytest

from components import STAGES
from components.closing import run as closing
from components.closing.config import Config
from components.lib.core.errors import ConfigError
from components.lib.storage import exit_record
from components.lib.storage.stage import Context, read_records, write_record
from tests.fakes import kubernetes_api

RUNS = json.loads((Path(__file__).parent / "recordings" / "kubeflow_runs.json").read_text())
PULL = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "nowhere.example/x:1"'}
# How a step's pod ended, of which the recorded runs have no more than FAILED
PODS = {
    "terminated": {"terminated": {"exitCode": 143, "reason": "Error"}},
    "image-of-a-step-cannot-be-pulled": {"waiting": PULL},
    "retried-after-failure": {"terminated": {"exitCode": 137, "reason": "Error"}},
}


class Ended:
    """A recorded run up to its first end: its ledger, its Workflow and the pod of the step that failed."""

    def __init__(self, case, api, store):
        self.recorded, self.steps = RUNS[case]["run"], RUNS[case]["steps"]
        self.store, self.run_id = store, self.recorded["run_id"]
        (self.close,) = [start for name, start, *_ in self.steps if name == "close"]
        for name, _, end, states in self.steps:
            if name != "close" and end <= self.close and states[-1] == "SUCCEEDED" and "FAILED" not in states:
                self.note(name)
        if case == "failed-by-a-typo":
            error = ConfigError("there is no preset 'smok'", fix="did you mean 'smoke'?")
            self.note("preflight", error)
        states = [one["state"] for one in self.recorded["state_history"]]
        deadline = {"activeDeadlineSeconds": 0} if "CANCELING" in states else {}
        labels = {"labels": {"pipeline/runid": self.run_id}}
        api.put("workflows", "training-x", {"metadata": labels, "spec": deadline})
        if case in PODS:
            failed = next(name for name, _, _, states in self.steps if "FAILED" in states)
            container = {"name": "main", "image": "x", "imageID": "x", "ready": False, "restartCount": 0}
            phase = "Pending" if "waiting" in PODS[case] else "Failed"
            status = {"phase": phase, "containerStatuses": [{**container, "state": PODS[case]}]}
            ours = {
                "workflows.argoproj.io/workflow": "training-x",
                "app.kubernetes.io/component": stage(failed),
            }
            spec = {"containers": [{"name": "main"}]}
            api.put("pods", "training-x-1", {"metadata": {"labels": ours}, "spec": spec, "status": status})

    def note(self, step, error=None):
        """The record that a stage leaves in the ledger."""
        write_record(Context(self.store, "", self.run_id, stage(step)), 0.0, error)

    def said(self):
        """Status, stage and words of the record."""
        record = json.loads(self.store.objects.read(f"runs/{self.run_id}/exit.json"))
        failure = record["failure"] or {"stage": "", "error": {}}
        return record["status"], failure["stage"], json.dumps(failure["error"])


def stage(step):
    """The stage of a component: `ingest` is of ingestion."""
    return next(name for name in STAGES if name.startswith(step[:4]))


@pytest.mark.parametrize(
    ("case", "state", "status", "failed", "word"),
    [  # `state` is what the exit handler was told: RUNNING after Terminate, COMPLETE where all tasks ran
        ("succeeded", "COMPLETE", "succeeded", "", ""),
        ("with-mlflow-plugin", "COMPLETE", "succeeded", "", ""),
        ("terminated", "RUNNING", "cancelled", "", ""),
        ("image-of-a-step-cannot-be-pulled", "RUNNING", "cancelled", "preflight", "nowhere.example/x:1"),
        ("failed-by-a-typo", "FAILED", "failed", "preflight", "did you mean 'smoke'"),
        ("retried-after-failure", "FAILED", "failed", "pretraining", "137"),
    ],
)
def test_a_recorded_run_is_closed_as_it_ended(
    case, state, status, failed, word, tmp_path, monkeypatch, store
):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "recorded")
    with kubernetes_api.serving(tmp_path) as (api, kubeconfig):
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        run = Ended(case, api, store)
        closing.run(Config(store.uri, run.run_id, state))
        said = run.said()
        assert said[:2] == (status, failed) and word in said[2]
        if (
            len(run.recorded["state_history"]) > 4
        ):  # Retry: what is left runs, and promotion writes the record
            for step in ("pretrain", "register", "finetune", "evaluate", "promote"):
                run.note(step)
            ledger = read_records(Context(store, "", run.run_id))
            exit_record.write(store, run.run_id, ledger, exit_record.SUCCEEDED)
            assert run.said()[:2] == ("succeeded", "")
            assert "succeeded" in store.objects.read("runs/index.html").decode()
