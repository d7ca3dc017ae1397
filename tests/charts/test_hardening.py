"""The MLflow server as the chart starts it, but on this machine: it still registers, and refuses the rest."""

import http.client
import json
import os
import re
import subprocess
import sys
from contextlib import closing
from urllib.parse import urlsplit

import pytest

from components.lib.registry.registered_models import Registry
from components.lib.registry.tracking import explained
from tests.charts.rendering import CHART, server
from tests.components.lib.registry.test_registered_models import register
from tests.fakes.mlflow_server import serving

POD = "10.1.2.3"
NAME = "trunkline-mlflow.kubeflow.svc"
FOREIGN = "file:///etc /etc s3://another/bucket http://169.254.169.254/latest runs:/0/../../x".split()
FOREIGN += "mlflow-artifacts:/../../x models:/m-1/../x mlflow-artifacts://evil.example/x".split()


@pytest.fixture(scope="module")
def bucket(s3_server):
    """Where the chart puts artifacts, on the tests' S3 server."""
    os.environ["AWS_ENDPOINT_URL_S3"] = s3_server
    from components.lib.storage.objects.s3 import client

    client().create_bucket(Bucket="bucket")
    yield client()
    del os.environ["AWS_ENDPOINT_URL_S3"]


@pytest.fixture(scope="module")
def uri(bucket, s3_server, tmp_path_factory):
    """A server with the chart's command, arguments and variables; its init container made the database."""
    container, tables = (server()[kind][0] for kind in ("containers", "initContainers"))
    folder = tmp_path_factory.mktemp("hardened")
    database = f"sqlite:///{folder}/server.db"
    environment = {e["name"]: e["value"] for e in container["env"] if "value" in e}
    hosts = environment["MLFLOW_SERVER_ALLOWED_HOSTS"].replace("$(POD_IP)", POD)  # as Kubernetes does
    environment |= {"MLFLOW_SERVER_ALLOWED_HOSTS": hosts, "MLFLOW_BACKEND_STORE_URI": database}
    environment["AWS_ENDPOINT_URL_S3"] = s3_server
    arguments = [word.replace("/tmp/", f"{folder}/") for word in container["args"]]
    command = [word.replace("$(MLFLOW_BACKEND_STORE_URI)", database) for word in tables["command"]]
    assert command[0] == "mlflow"
    subprocess.run([sys.executable, "-m", *command], env={**os.environ, **environment}, check=True)
    with serving(folder, container["command"][1:] + arguments, environment) as found:
        yield found


def ask(uri, method, path, body=None, **headers):
    """The status of the answer."""
    return answer(uri, method, path, body, **headers).status


def answer(uri, method, path, body=None, **headers):
    kind = {"Content-Type": "application/json"} if body is not None else {}
    with closing(http.client.HTTPConnection(urlsplit(uri).netloc, timeout=20)) as connection:
        connection.request(method, path, body=body and json.dumps(body), headers={**kind, **headers})
        found = connection.getresponse()
        found.text = found.read().decode(errors="replace")
        return found


def test_it_registers_and_loads_what_our_stages_register(uri, bucket, tmp_path):
    registry = Registry(uri)
    made = register(registry, "hardened")
    assert (registry.fetch(made, tmp_path) / "config.json").is_file()
    keys = [entry["Key"] for entry in bucket.list_objects_v2(Bucket="bucket")["Contents"]]
    assert any(key.startswith("trunkline/mlflow/") and key.endswith("model.safetensors") for key in keys)


def test_it_answers_to_its_own_names_alone(uri):
    for host in (NAME, f"{NAME}:5000", "localhost:5000", "mlflow.example", "mlflow.internal:8443"):
        assert ask(uri, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", Host=host) == 200
    for host in (
        "evil.example",
        "10.evil.example",
        f"{NAME}.evil.example",
        "169.254.169.254",
        "10.1.2.4:5000",
    ):
        assert ask(uri, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", Host=host) == 403
    assert ask(uri, "GET", "/health", Host="10.1.2.3:5000") == 200, "as the kubelet asks"


def test_other_pages_may_not_change_anything(uri):
    body = {"name": "from-elsewhere"}
    path = "/api/2.0/mlflow/experiments/create"
    assert ask(uri, "POST", path, body, Origin="https://evil.example") == 403
    assert ask(uri, "POST", path, body) == 200
    assert ask(uri, "POST", path, {"name": "from-ours"}, Origin="https://mlflow.example") == 200


@pytest.mark.parametrize("source", FOREIGN)
def test_versions_are_made_from_its_own_models_alone(uri, source):
    registry = Registry(uri)
    with explained(uri):
        if not registry.client.search_registered_models("name = 'sources'"):
            registry.client.create_registered_model("sources")
    body = {"name": "sources", "source": source}
    assert ask(uri, "POST", "/api/2.0/mlflow/model-versions/create", body) == 400


def test_experiments_do_not_point_at_other_hosts(uri):
    body = {"name": "elsewhere", "artifact_location": "http://169.254.169.254/latest"}
    assert ask(uri, "POST", "/api/2.0/mlflow/experiments/create", body) == 400


def test_prometheus_reads_it_by_the_address_of_its_pod(uri):
    assert ask(uri, "GET", "/api/2.0/mlflow/experiments/get?experiment_id=0") == 200
    found = answer(uri, "GET", "/metrics", Host=f"{POD}:5000")
    assert found.status == 200
    board = (CHART / "dashboard.json").read_text()
    shown = set(re.findall(r"mlflow_http_\w+", board))
    assert shown and all(f"# TYPE {name.removesuffix('_bucket')} " in found.text for name in shown)


def test_it_starts_no_jobs(uri):
    job = {"function_fullname": "os.system", "params": {}}
    assert ask(uri, "POST", "/ajax-api/3.0/jobs/", job) >= 400


def test_frames_of_other_pages_do_not_show_it(uri):
    assert answer(uri, "GET", "/").getheader("X-Frame-Options") == "SAMEORIGIN"
