import json
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from components.lib.core.errors import (
    AccessError,
    ConfigError,
    ConfigErrors,
    Obstacles,
    OutputError,
    ServiceError,
)
from components.lib.core.settings import ARGUMENT
from components.lib.storage.stage import Context, stage
from components.lib.storage.store import Store
from components.preflight import probes
from components.preflight.config import Config
from components.preflight.plan import MANY, resolve
from components.preflight.run import SETTLED, _items, run


@pytest.fixture
def place(tmp_path):
    return {"store": str(tmp_path / "store"), "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db"}


@pytest.fixture
def silent():
    """The address of a server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def check(tmp_path, place, preset="smoke", overrides=None):
    config = Config(preset, overrides or {}, place["store"], place["tracking_uri"], "run-1")
    return run(config, *(tmp_path / "out" / name for name in SETTLED))


def test_every_stage_gets_its_settings(tmp_path, place):
    (task,) = check(tmp_path, place, overrides={"pretraining.steps": 7.0})
    out = {name: json.loads((tmp_path / "out" / name).read_text()) for name in SETTLED}
    assert out["pretraining"]["config"]["steps"] == 7
    shared = {"store": place["store"], "run": out["ingestion"]["run"]}
    assert shared["run"] == {
        "tracking_uri": place["tracking_uri"],
        "run_id": "run-1",
        "details": {
            "preset": "smoke",
            "git": shared["run"]["details"]["git"],
            "image": "",
            "sources": "sample:topics/train",
        },
    }
    for settings in (task["finetuning"], task["evaluation"], *out.values()):
        assert {key: settings[key] for key in shared} == shared
    record = json.loads(Store(place["store"]).objects.read("runs/run-1/preflight.json"))
    assert record["status"] == "succeeded"
    left = list(Store(place["store"]).objects.keys(""))
    assert left == ["runs/run-1/preflight.json"], "the probe leaves nothing"


def test_no_task_is_one_that_its_stages_pass_on(tmp_path, place):
    """KFP's driver collects nothing from an empty loop."""
    (task,) = check(tmp_path, place, overrides={"tasks": []})
    assert task["name"] == "" and {"passed_on", "store", "run"} <= task["finetuning"].keys()
    assert task["evaluation"] == task["finetuning"]


def test_settings_that_no_command_takes_go_by_way_of_the_store(tmp_path, place, monkeypatch):
    """As a preset may have them: 2,000 sources, and many tasks, all of which are one parameter."""
    (tmp_path / "texts").mkdir()
    sources = [str(tmp_path / "texts" / f"{number:0240}.txt") for number in range(400)]
    for source in sources:
        Path(source).write_text("a text of its own")
    preset = yaml.safe_load(Path("pipelines/presets/smoke.yaml").read_text())
    preset["ingestion"]["sources"] = sources
    preset["tasks"] = [{**preset["tasks"][0], "name": f"topics-{number}"} for number in range(50)]
    (tmp_path / "many.yaml").write_text(yaml.safe_dump(preset))
    monkeypatch.setenv("TRUNKLINE_PRESETS", str(tmp_path))
    tasks = check(tmp_path, place, "many")
    assert len(json.dumps(tasks)) < ARGUMENT and len(tasks) == 50
    settings = json.loads((tmp_path / "out" / "ingestion").read_text())
    assert settings.keys() == tasks[0]["finetuning"].keys() == {"store", "stored"}
    with stage("ingestion", settings) as context:
        assert context.config["sources"] == sources
    with stage("finetuning", tasks[49]["finetuning"]) as context:
        assert context.config["task"] == "topics-49"


def test_as_many_tasks_as_a_run_may_have_fit_into_one_parameter_and_more_are_refused(store, place, tmp_path):
    """The list of a ParallelFor is one parameter, each item another, what is collected a third."""
    config = {"labels": "x" * 3_000}
    tasks = [
        {"name": f"task-{number:0100}", "finetuning": config, "evaluation": config} for number in range(MANY)
    ]
    shared = {
        "store": f"s3://bucket/{'p' * 100}",
        "run": {"run_id": "r" * 36, "details": {"sources": "s" * 400}},
    }
    items = _items(Context(store, run_id="r" * 36, stage="preflight"), tasks, shared)
    assert len(json.dumps(items)) <= ARGUMENT < len(json.dumps(tasks)) and len(items) == MANY
    handed = items[-1]["evaluation"]
    with stage("evaluation", {**handed, "store": store.uri}) as context:
        assert context.config == config and context.run_id == "r" * 36
    smoke = yaml.safe_load(Path("pipelines/presets/smoke.yaml").read_text())["tasks"][0]
    many = [{**smoke, "name": f"topics-{number}"} for number in range(MANY + 1)]
    with pytest.raises(ConfigErrors, match=f"too many tasks[^;]*found: {MANY + 1}"):
        resolve("smoke", {"tasks": many})


@pytest.mark.parametrize("plugin", [False, True], ids=["cluster", "plugin"])
def test_the_environment_names_store_and_server(tmp_path, place, monkeypatch, plugin):
    """KFP's MLflow plugin, where it is at work, comes before the ConfigMap of the cluster."""
    monkeypatch.setenv("TRUNKLINE_STORE", place["store"])
    monkeypatch.setenv("TRUNKLINE_TRACKING_URI", "http://127.0.0.1:1" if plugin else place["tracking_uri"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place["tracking_uri"] if plugin else "")
    monkeypatch.setenv("TRUNKLINE_COMMIT", "abc")
    monkeypatch.setenv("TRUNKLINE_IMAGE", "image@sha256:1")
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example/pipeline/")
    check(tmp_path, {"store": "", "tracking_uri": ""})
    settings = json.loads((tmp_path / "out" / "ingestion").read_text())
    assert settings["store"] == place["store"] and settings["run"]["tracking_uri"] == place["tracking_uri"]
    details = settings["run"]["details"]
    assert (details["git"], details["image"]) == ("abc", "image@sha256:1")
    assert details["page"] == "https://kubeflow.example/pipeline/#/runs/details/run-1"


def test_settings_are_checked_before_anything_is_asked(tmp_path, place, capsys):
    with pytest.raises(SystemExit) as caught:
        check(tmp_path, {**place, "tracking_uri": "http://127.0.0.1:1"}, overrides={"x": 1, "y": 2})
    assert caught.value.code == 78
    assert "2 settings are wrong" in capsys.readouterr().err


def test_silent_servers_cost_seconds_and_not_minutes(tmp_path, silent, monkeypatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", silent)
    start = time.monotonic()
    with pytest.raises(SystemExit) as caught:
        check(tmp_path, {"store": "s3://bucket/x", "tracking_uri": silent})
    assert time.monotonic() - start < 20  # three, on a machine that does nothing else
    printed = capsys.readouterr().err
    assert caught.value.code == ServiceError.exit_code
    assert "the store does not answer" in printed and "MLflow" in printed


def test_in_a_pod_a_server_that_comes_back_is_waited_for(tmp_path, place, monkeypatch, capsys):
    """On a laptop it is told at once: see above."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = taken.getsockname()

    class MLflow(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/version" else 404)
            self.end_headers()
            self.wfile.write(b"3.17.2")

    def come_back():
        server = HTTPServer(address, MLflow)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    threading.Timer(1.5, come_back).start()
    assert check(tmp_path, {**place, "tracking_uri": "http://{}:{}".format(*address)})
    assert "the MLflow server does not answer" in capsys.readouterr().out


def test_store_on_s3(tmp_path, place, s3):
    check(tmp_path, {**place, "store": f"{s3}/team"})
    assert list(Store(f"{s3}/team").objects.keys("")) == ["runs/run-1/preflight.json"]


def test_data_that_other_images_cannot_fetch_are_put_into_the_store(tmp_path, place, wheel, capsys):
    """The run that needs them keeps them from the garbage collector; what is not there is told at once."""
    uri = f"pypi:tiny-corpus==1.0/tiny/data.jsonl#sha256={wheel[1]}"
    for reused in (False, True):
        check(tmp_path, place, overrides={"ingestion.sources": [uri]})
        store = Store(place["store"])
        (output,) = json.loads(store.objects.read("runs/run-1/preflight.json"))["outputs"]
        assert output["reused"] == reused
        assert store.resolve(output["reference"]).files[0].sha256 == wheel[1]
    with pytest.raises(SystemExit) as caught:
        check(tmp_path, place, overrides={"ingestion.sources": [uri.replace(wheel[1], "0" * 64)]})
    assert caught.value.code == 65 and "not the one that was pinned" in capsys.readouterr().err
    wheel[0].unlink()
    with pytest.raises(SystemExit) as caught:
        check(
            tmp_path, place, overrides={"ingestion.sources": [uri.replace("1.0/", "1.1/")[:-64] + "1" * 64]}
        )
    assert caught.value.code == 66 and "pip finds no such wheel" in capsys.readouterr().err


def test_a_server_that_ignores_conditional_writes_is_told_of(s3, capsys):
    """As SeaweedFS did before 3.97, which Kubeflow Pipelines 2.15 and 2.16 bring."""
    target = Store(s3)
    probes.store(target)
    assert "conditional" not in capsys.readouterr().out

    def ignore(request, **_):
        del request.headers["If-None-Match"]

    target.objects._client.meta.events.register("before-sign.s3.PutObject", ignore)
    probes.store(target)
    assert "does not know conditional writes" in capsys.readouterr().out
    assert list(target.objects.keys("")) == []


def test_a_fault_in_a_probe_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        probes.together({"a": lambda: None, "b": lambda: 1 / 0})


def test_full_disk(tmp_path):
    store = Store(str(tmp_path / "not" / "yet"))
    probes.disk(store, 0)
    with pytest.raises(OutputError) as caught:
        probes.disk(store, 1 << 60)
    assert "GB free" in caught.value.found and caught.value.exit_code == 73


def test_need_counts_local_sources(tmp_path):
    (tmp_path / "a").mkdir()
    for name, size in (("a/1.txt", 10), ("a/2.txt", 20), ("a/3.csv", 40)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert probes.need([str(tmp_path / "a")]) == 210
    assert probes.need([f"{tmp_path}/a/*.txt"]) == 90
    assert probes.need([f"{tmp_path}/a/1.txt", "s3://bucket/x", "sample:topics/train"]) == 30
    assert probes.need([f"{tmp_path}/none"]) == 0


def test_a_driver_that_is_ill_is_no_gpu(tmp_path, monkeypatch):
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho broken >&2; exit 9\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert probes.gpus() == []
    fake.write_text("#!/bin/sh\necho 'H100'; echo 'H100'\n")
    assert probes.gpus() == ["H100", "H100"]


def test_kinds_of_several_errors():
    def head(*errors):
        found = Obstacles(errors)
        return found.exit_code, found.retriable, found.what

    assert head(ServiceError("a"), ServiceError("b")) == (69, True, "2 services fail")
    assert head(ServiceError("a"), AccessError("b")) == (77, False, "2 things are in the way")
    assert head(AccessError("a"), OutputError("b")) == (77, False, "2 things are in the way")
    assert head(ServiceError("a"), ConfigError("b")) == (78, False, "2 things are in the way")
    assert head(ConfigError("a"), ConfigError("b")) == (78, False, "2 settings are wrong")


def test_preflight_is_quick_and_light(tmp_path, place):
    """In a process of its own, as KFP starts it."""
    code = (
        "import sys, time; start = time.monotonic()\n"
        "from pathlib import Path\n"
        "from components.preflight.config import Config\nfrom components.preflight.run import run\n"
        f"run(Config('quickstart', {{}}, {place['store']!r}, {place['tracking_uri']!r}, 'r'), "
        f"*(Path({str(tmp_path)!r}) / name for name in {SETTLED!r}))\n"
        "assert time.monotonic() - start < 30\n"
        "print(sorted({'torch', 'transformers', 'mlflow', 'kfp', 'pyarrow', 'numpy'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


@pytest.mark.parametrize("before", ["sample:topics/train", "/another/folder/train"])
def test_a_name_that_had_other_data_until_now_is_told(tmp_path, place, sqlite_uri, capsys, before):
    """Two folders of the same name give the same name of a model."""
    from components.lib.registry.tracking import ambient, connect

    client, name = connect(sqlite_uri), "trunkline-smoke"
    model = client.create_logged_model(client.create_experiment("made"), name=name)
    tags = {"trunkline.reference": "pretraining/x#y", "trunkline.sources": before}
    client.create_registered_model(name)
    with ambient(sqlite_uri):
        client.create_model_version(name, f"models:/{model.model_id}", tags=tags, model_id=model.model_id)
    client.set_registered_model_alias(name, "challenger", "1")
    check(tmp_path, {**place, "tracking_uri": sqlite_uri})
    told = f"preflight: {name} was made of {before} until now" in capsys.readouterr().out
    assert told == (before != "sample:topics/train")
