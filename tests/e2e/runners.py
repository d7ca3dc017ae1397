"""The same graph on three runners: processes, the containers of a cluster, the IR for the cluster itself.

`make e2e` runs it; it needs a container engine with the images of `make images`, and PostgreSQL.
"""

import contextlib
import http.client
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest

from components import STAGES
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.objects import connect
from components.lib.storage.store import Store
from images import contents
from pipelines.runners import RUNNERS
from tests.architecture.imports import ROOT
from tests.e2e.launcher import Launcher, compiled
from tests.e2e.servers import RESTRICTED, docker, mlflow, new_database, postgresql

PATTERN = os.environ.get("TRUNKLINE_IMAGES") or "{image}:{tag}"
BUCKET = "trunkline-e2e"
WITH_IDS = ("registration",)
KERNELS = "OPENBLAS_"  # settings of BLAS, whose other kernels round otherwise; containers do not get them
SECRETS = {"AWS_SECRET_ACCESS_KEY": "planted-1-0123456789", "TRUNKLINE_SECRET_DATA": "planted-2-0123456789"}


@dataclass
class Run:
    """One run of the smoke preset: what it printed, and its exit record and outputs as the store has them."""

    code: int
    output: str
    store: str
    record: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)  # reference, with its digest, by stage and task

    def manifest(self, name: str) -> Manifest:
        return Store(self.store).resolve(self.outputs[name])


@pytest.fixture(scope="module")
def bucket(s3_server):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", s3_server)
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        from components.lib.storage.objects.s3 import client

        client().create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}"


@pytest.fixture(scope="module")
def servers(bucket, tmp_path_factory):
    """runner -> an MLflow server that has seen nothing, in a database of its own."""
    folder = tmp_path_factory.mktemp("servers")
    with contextlib.ExitStack() as stack:
        postgres = stack.enter_context(postgresql(folder / "postgresql"))
        yield {
            runner: stack.enter_context(mlflow(new_database(postgres, runner), f"{bucket}/mlflow-{runner}"))
            for runner in RUNNERS
        }


@pytest.fixture(scope="module")
def runs(bucket, servers):
    return {runner: run(runner, f"{bucket}/{runner}", servers[runner]) for runner in RUNNERS}


def run(runner, store, server):
    command = [sys.executable, "-m", "pipelines.local", "--preset", "smoke", "--runner", runner]
    command += ["--store", store, "--tracking-uri", server]
    how = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 900, "check": False}
    own = {name: value for name, value in os.environ.items() if not name.startswith(KERNELS)}
    done = subprocess.run(command, env=own, **how)
    result = Run(done.returncode, done.stdout + done.stderr, store)
    objects = connect(store)
    for key in sorted(objects.keys("runs/")):
        if key.endswith("/exit.json"):
            result.record = json.loads(objects.read(key))
        elif key.endswith(".json"):
            entry = json.loads(objects.read(key))
            for output in entry.get("outputs", ()):
                name = f"{entry['stage']} {entry['task']}".strip()
                result.outputs[name] = output["reference"]
    return result


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("runner", RUNNERS)
def test_a_run_succeeds_and_says_what_the_runner_leaves_out(runs, runner):
    assert runs[runner].code == 0, runs[runner].output
    assert runs[runner].record["status"] == "succeeded"
    assert "secrets, volumes, time limits and retries of a cluster are not used" in runs[runner].output


def test_the_two_runners_make_the_same(runs):
    """Every output has the same key and digest, to the bit, but for what a server's random ids are in."""
    first, second = (runs[runner] for runner in RUNNERS)
    assert first.outputs.keys() == second.outputs.keys() and len(first.outputs) == 7
    for name, reference in sorted(first.outputs.items()):
        same = reference == second.outputs[name]
        print(f"\n{name:<18} {reference} {'same' if same else second.outputs[name]}", end="")
        if name not in WITH_IDS:
            one, other = first.manifest(name), second.manifest(name)
            assert (one.files, one.facts) == (other.files, other.facts)
            assert same


def test_the_two_runners_measure_the_same(runs):
    first, second = (runs[runner].record["results"] for runner in RUNNERS)
    assert first and first == second


def test_no_secret_is_in_the_store_or_told_by_mlflow(bucket, servers, runs):
    """All bytes of the bucket, which holds MLflow's artifacts too, and every run and model of the server."""
    objects, seen = connect(bucket), 0
    for key in objects.keys(""):
        data, seen = objects.read(key), seen + 1
        assert not [name for name, value in SECRETS.items() if value.encode() in data], key
    assert seen > 50
    address = urlsplit(servers["containers"]).netloc
    searches = {"runs/search": {"experiment_ids": ["0", "1", "2"]}, "registered-models/search": None}
    for path, body in searches.items():
        status, text = request(address, "POST" if body else "GET", f"/api/2.0/mlflow/{path}", body)
        assert status == 200 and "trunkline" in text
        assert not [name for name, value in SECRETS.items() if value in text]


def test_the_cluster_is_told_the_images_that_ran(runs, tmp_path):
    text = compiled(tmp_path)
    built = docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    for stage in STAGES:
        name = contents.name(stage, PATTERN)
        assert f"image: {name}\n" in text and name in built


def test_the_image_of_pipelines_compiles_and_submits_as_a_checkout_does(tmp_path):
    image = contents.name("pipelines", PATTERN)
    script = (
        "python -m pipelines.submit --preset smoke --endpoint http://127.0.0.1:9 2>/dev/null || [ $? = 69 ];"
        "python -m pipelines.compile /tmp/build training >/dev/null; cat /tmp/build/training.yaml"
    )
    variables = ("--env", "TRUNKLINE_CLUSTER=kind", "--env", f"TRUNKLINE_IMAGES={PATTERN}")
    text = docker("run", "--rm", *RESTRICTED, "--network", "none", *variables, image, "bash", "-euc", script)
    assert text == compiled(tmp_path, TRUNKLINE_CLUSTER="kind").strip()


@pytest.mark.parametrize("image", [*contents.CODE, *contents.FAMILIES])
def test_an_image_runs_as_nobody_on_a_read_only_root(image):
    name, code = contents.name(image, PATTERN), IMPORTS.format(image=image)
    printed = docker("run", "--rm", *RESTRICTED, "--network", "none", name, "python3", "-c", code)
    facts = json.loads(printed.splitlines()[-1])
    size = int(docker("image", "inspect", "--format", "{{.Size}}", name)) / 1e6
    print(f"\n{image:<13} {size:6.0f} MB, {facts['packages']:3} packages, imports {facts['seconds']:.2f} s")
    assert facts["user"] == 1001 and facts["writable"] == []
    assert facts["pip"] == ("tracking" in contents.chain(image)), "it downloads data for preflight"
    assert facts["modules"] > 0 or image in contents.FAMILIES
    inspected = json.loads(docker("image", "inspect", name))[0]
    assert inspected["Config"]["Labels"]["org.opencontainers.image.title"] == f"trunkline-{image}"
    assert inspected["Config"]["User"] == "1001:1001"
    assert not [entry for entry in inspected["Config"]["Env"] if "127.0.0.1" in entry or "/etc/" in entry]


def test_a_step_runs_as_the_launcher_of_kubeflow_starts_it(bucket, servers, runs, tmp_path):
    """Store, MLflow and credentials come from the environment alone; outputs go where the launcher looks."""
    launcher, names = (
        Launcher(tmp_path),
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"),
    )
    variables = {name: os.environ[name] for name in names}
    variables |= {"TRUNKLINE_STORE": f"{bucket}/containers", "TRUNKLINE_TRACKING_URI": servers["containers"]}
    given = {"preset": "smoke", "overrides": {}, "store": "", "tracking_uri": "", "run_id": "launched"}
    checked = launcher.run("preflight", {**given, "skip_unchanged": False}, variables)
    settings = json.loads((checked / "kfp/outputs/ingestion").read_text())
    ingested = launcher.run("ingest", {"settings": settings}, variables)
    manifest = artifacts.read(ingested / "minio/mlpipeline/v2/artifacts/training/1/ingest/corpus")
    assert manifest.reference == runs["containers"].outputs["ingestion"], "found in the store"


# Every module of the stage, an executor of KFP, the bill of materials against what is installed.
IMPORTS = """
import importlib, importlib.metadata, importlib.util, json, os, time
from pathlib import Path
start, root, modules = time.time(), Path("/opt/trunkline"), 0
if "{image}" != "pipelines":  # the only one that has all of kfp
    os.environ["_KFP_RUNTIME"] = "true"
import kfp.dsl.executor_main
for path in sorted([*root.glob("components/{image}/**/*.py"), *root.glob("{image}/*.py")]):
    name = ".".join(path.relative_to(root).with_suffix("").parts)
    importlib.import_module(name.removesuffix(".__init__"))
    modules += 1
seconds = time.time() - start
installed = {{one.metadata["Name"].lower().replace("_", "-") for one in importlib.metadata.distributions()}}
listed = json.loads(Path("/opt/sbom.json").read_text())["components"]
assert installed <= {{one["name"].lower().replace("_", "-") for one in listed}}, installed
writable = [str(path) for path in (root, Path("/opt/venv"), Path("/")) if os.access(path, os.W_OK)]
pip = importlib.util.find_spec("pip") is not None
print(json.dumps({{"user": os.getuid(), "pip": pip, "writable": writable, "packages": len(installed),
    "modules": modules, "seconds": seconds}}))
"""


def request(address, method, path, body=None, host=""):
    headers = {"Content-Type": "application/json", **({"Host": host} if host else {})}
    with contextlib.closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
