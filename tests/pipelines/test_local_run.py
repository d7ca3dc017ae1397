"""Whole runs in processes of their own, as `make run` starts them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from components import STAGES
from components.closing import run as closing
from components.lib.core import failpoints
from components.lib.data.sources.sample import TOPICS
from pipelines import execution, local
from pipelines.console import Console
from tests.architecture.imports import ROOT
from tests.fakes.mlflow_server import free_port

# Secrets as a cluster would set them; none may be found afterwards in anything that a run leaves.
NAMES = "AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN HF_TOKEN MLFLOW_TRACKING_PASSWORD TRUNKLINE_SECRET_DATA"
SECRETS = {name: f"planted-{number}-0123456789" for number, name in enumerate(NAMES.split())}
KEPT_OUT = ["ingestion.decontaminate=[{source: 'sample:topics/test'}]"]  # as the preset's task has it


@dataclass
class Place:
    """A store and an MLflow file that several runs share."""

    folder: Path

    def command(self, *words):
        places = f"--store {self.folder / 'store'} --tracking-uri sqlite:///{self.folder / 'mlflow.db'}"
        return [sys.executable, "-m", "pipelines.local", "--preset", "smoke", *places.split(), *words]

    def run(self, *words):
        environment = {**os.environ, **SECRETS, "TMPDIR": str(self.scratch)}
        how = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True, "timeout": 280}
        done = subprocess.run(self.command(*words), check=False, **how)
        return Run(done.returncode, done.stdout + done.stderr, self.folder / "store")

    @property
    def scratch(self):
        path = self.folder / "tmp"
        path.mkdir(exist_ok=True)
        return path


class Run:
    """What one run printed and left in the store."""

    def __init__(self, code, output, store):
        self.code, self.output = code, output
        name = next((line.split()[-1] for line in output.splitlines() if line.startswith("Trunkline ")), "")
        self.folder = store / "runs" / name

    def json(self, name):
        return json.loads((self.folder / name).read_text())

    def told_running(self):
        """The status where KFP's server says of a graph that has ended that it runs, as that of 2.16 does."""
        closing.run(closing.Config(str(self.folder.parents[1]), self.folder.name, "RUNNING"))
        return self.json("exit.json")["status"]

    def states(self):
        """stage -> made, reused, done or failed, as the console says it."""
        words = [line.split() for line in self.output.splitlines() if line.startswith("  ")]
        return {found[0]: found[1] for found in words if found[:1] and found[0] in STAGES}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Place(tmp_path_factory.mktemp("local"))
    yield place
    assert list(place.scratch.iterdir()) == [], "no run leaves anything behind, however it ended"


@pytest.fixture(scope="module")
def whole(place):
    return place.run()


def test_the_whole_graph(whole):
    assert whole.code == 0, whole.output
    states = whole.states()
    assert set(states) == set(STAGES)
    assert all(states[stage] == "made" for stage in STAGES if stage not in ("preflight", "closing"))
    record = whole.json("exit.json")
    assert record["status"] == "succeeded" and record["failure"] is None
    assert whole.told_running() == "succeeded"
    assert [result["task"] for result in record["results"]] == ["topics"]


def test_the_end_says_where_everything_is(whole):
    lines = [line for line in whole.output.splitlines() if line.startswith(("  report", "  log"))]
    places = dict(line.split(maxsplit=1) for line in lines)
    assert "<html" in Path(ROOT / places["report"]).read_text()
    log = (ROOT / places["log"]).read_text()
    assert "Executing task" in log and "Executing task" not in whole.output
    assert "make ui" in whole.output
    assert "Warning" not in whole.output and "{" not in whole.output


def test_no_secret_is_left_anywhere(whole, place):
    """Store, MLflow's database and files, log and console: all bytes of all of them."""
    log = ROOT / "runs" / "logs" / f"{whole.folder.name}.log"
    files = [path for path in place.folder.rglob("*") if path.is_file()]
    assert {"mlflow.db", "exit.json", "report.html", "manifest.json"} <= {path.name for path in files}
    for path in (*files, log):
        assert not [name for name, value in SECRETS.items() if value.encode() in path.read_bytes()], path
    assert not [name for name, value in SECRETS.items() if value in whole.output]


def test_an_address_with_a_secret_is_refused_and_not_repeated(whole, place):
    """In an override KFP itself would show it: it is not shown once more, nor kept by us."""
    words = ["--set", "ingestion.sources=['https://host.example/a.jsonl?token=planted-9-x']"]
    refused = place.run(*words)
    assert refused.code == 78 and "TRUNKLINE_SECRET_" in refused.output
    assert "planted-9-x" not in refused.output
    for path in refused.folder.rglob("*"):
        assert b"planted-9-x" not in path.read_bytes()


def test_the_champion_answers_over_http(whole, place):
    """As `make serve` starts it."""
    port = free_port()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{place.folder / 'mlflow.db'}"}
    words = "models serve -m models:/trunkline-smoke-topics@champion --env-manager local --workers 1"
    command = [sys.executable, "-m", "mlflow", *words.split(), "--host", "127.0.0.1", "--port", str(port)]
    how = {"start_new_session": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env={**os.environ, **environment}, **how)
    try:
        texts = ["The comet left its orbit near the star.", "Whisk butter and flour."]
        answer = ask(f"http://127.0.0.1:{port}/invocations", {"inputs": texts}, server)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
    topics = json.loads(answer)["predictions"]
    assert len(topics) == 2 and all(set(topic) == {"label", "score"} for topic in topics)
    assert {topic["label"] for topic in topics} <= set(TOPICS)


def ask(url, question, server):
    """The answer of a server that may still be starting."""
    request = urllib.request.Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})
    end = time.monotonic() + 180
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.read()
        except urllib.error.URLError:
            time.sleep(0.3)
    raise AssertionError(f"no answer; the server ended with {server.poll()}")


def test_no_task_and_nothing_new(whole, place):
    """An unchanged stage is reused; the stages of a task have none to work on, and say so."""
    again = place.run("--set", "tasks=[]", "--set", *KEPT_OUT)
    assert again.code == 0, again.output
    states = again.states()
    assert states == {
        **dict.fromkeys(STAGES, "reused"),
        **dict.fromkeys(("finetuning", "evaluation", "promotion"), "passed"),
        **dict.fromkeys(("preflight", "closing"), "done"),
    }
    assert again.json("exit.json")["status"] == again.told_running() == "succeeded"


@pytest.mark.parametrize(
    ("words", "stage", "code", "says"),
    [
        ("--set pretraining.stepz=3 --set tokenization.kind=x", "preflight", 78, "did you mean 'steps'"),
        ("--preset smok", "preflight", 78, "did you mean 'smoke'"),
        ("--tracking-uri http://127.0.0.1:1", "preflight", 69, "MLflow"),
        ("--set ingestion.sources=[/no/such/folder]", "preflight", 66, "/no/such/folder"),
    ],
)
def test_a_failed_run_says_why(place, words, stage, code, says):
    failed = place.run(*words.split())
    assert failed.code == code, failed.output
    assert failed.states()[stage] == "failed" and failed.states()["closing"] == "done"
    last = failed.output.rpartition(f"{stage} failed: ")[2]
    assert says in last and "Traceback" not in failed.output
    record = failed.json("exit.json")
    assert record["status"] == "failed" and record["failure"]["stage"] == stage
    assert record["failure"]["error"]["exit_code"] == code
    assert says in json.dumps(record["failure"])


def test_a_store_of_no_known_scheme(place):
    wrong = place.run("--store", "gs://bucket")
    assert wrong.code == 78 and "Traceback" not in wrong.output and "s3://" in wrong.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--set steps", "--"),
        ("--set =3", "--"),
        ("--set a=[1", "--"),
        ("--branch x", "--"),
        (f"--set ingestion.text={'x' * 70_000} --set ingestion.encoding={'x' * 70_000}", "a pattern such as"),
    ],
)
def test_wrong_words(words, says, capsys):
    assert local.main(["--preset", "smoke", *words.split()]) in (64, 78)
    said = capsys.readouterr().err
    assert "Traceback" not in said and says in said


def test_a_fault_of_kfp_leaves_an_exit_record(tmp_path, capsys):
    """KFP raises outside of any stage."""
    given = {"store": str(tmp_path), "tracking_uri": "", "preset": "smoke", "no such parameter": 1}
    console = Console(tmp_path / "log")
    assert execution.run("training", given, "r1", console, "processes") == 70
    assert "the run failed: " in capsys.readouterr().out
    assert json.loads((tmp_path / "runs" / "r1" / "exit.json").read_text())["status"] == "failed"


@pytest.mark.parametrize("request_to_stop", [signal.SIGTERM, signal.SIGINT])
def test_a_request_to_stop_reaches_the_stage_and_leaves_an_exit_record(whole, place, request_to_stop):
    """A training that is told to stop saves its state; the run ends with the code for 'run me again'.

    A terminal sends Ctrl-C to all processes of its group.
    """
    command = place.command("--set", "pretraining.steps=5000")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes)
    name = process.stdout.readline().split()[-1]
    log, end = ROOT / "runs" / "logs" / f"{name}.log", time.monotonic() + 120
    while not re.search(r"pretraining.* to go", log.read_text()) and time.monotonic() < end:
        time.sleep(0.2)
    os.killpg(process.pid, request_to_stop)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 75, output
    record = json.loads((place.folder / "store" / "runs" / name / "exit.json").read_text())
    assert record["status"] == "failed" and record["failure"]["error"]["retriable"]
    assert "Traceback" not in output and "told to stop" in output


@pytest.mark.long
@pytest.mark.fault("F01")
def test_a_killed_training_goes_on_where_it_was(whole, place, tmp_path, monkeypatch):
    """The training process is killed; the same command again reuses what is finished and resumes the rest."""
    monkeypatch.setenv(failpoints.VARIABLE, str(tmp_path))
    words = ["pretraining.steps=100", "pretraining.checkpoint_every=10", "tasks=[]", *KEPT_OUT]
    words = [word for setting in words for word in ("--set", setting)]
    (tmp_path / "training.step").write_text("kill at=55")
    killed = place.run(*words)
    assert (tmp_path / "training.step.fired").exists()
    assert killed.code == 75 and "run again" in killed.output, killed.output
    assert killed.json("exit.json")["status"] == "failed"
    again = place.run(*words)
    assert again.code == 0, again.output
    states = again.states()
    assert {**states, "ingestion": "reused", "tokenization": "reused", "pretraining": "made"} == states
    log = (ROOT / "runs" / "logs" / f"{again.folder.name}.log").read_text()
    assert re.search(r"resumed after step (40|50)", log)
