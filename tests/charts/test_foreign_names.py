"""Names of Kubeflow's own objects, wherever we use them, are those of the versions that we say."""

import re

import yaml

from tests.charts.rendering import CHART, KIND, ROOT, defaults

NAMES = yaml.safe_load((ROOT / "tests/fakes/recordings/kubeflow_names.yaml").read_text())
FILES = [
    *(path for path in CHART.rglob("*") if path.is_file()),
    *(ROOT / "pipelines" / "clusters").glob("*.yaml"),
    *(ROOT / ".github").glob("*.md"),
    ROOT / "README.md",
]
TEXT = "\n".join(path.read_text() for path in FILES)


def test_services_answer_at_their_ports():
    found = re.findall(r"http://([a-z-]+)(?:\.kubeflow)?:(\d+)", TEXT)
    foreign = {(name, int(port)) for name, port in found if not name.startswith(("trunkline", "localhost"))}
    assert {name for name, _ in foreign} == {"ml-pipeline", "seaweedfs"}
    assert all(port in NAMES["services"][name] for name, port in foreign)
    forwarded = set(re.findall(r"svc/([a-z-]+) (?:\d+:)?(\d+)", TEXT)) - {("trunkline-mlflow", "5000")}
    assert forwarded and all(int(port) in NAMES["services"][name] for name, port in forwarded)
    assert set(re.findall(r"deployment/([\w-]+)", TEXT)) <= set(NAMES["deployments"])


def test_secrets_buckets_and_accounts_are_there():
    secrets = set(re.findall(r"get secret ([\w-]+)", TEXT))
    keys = {key for secret in secrets for key in NAMES["secrets"][secret]}
    assert secrets and set(re.findall(r"\$\(key (\w+)\)", TEXT)) == keys
    assert set(re.findall(r"s3://(mlpipeline[\w-]*)", TEXT)) == set(NAMES["buckets"])
    assert defaults()["pipelines"]["role"].partition("/")[2] in NAMES["accounts"]
    assert defaults()["pipelines"]["serviceAccounts"][0] in NAMES["accounts"]
    assert set(re.findall(r"ConfigMap `(kfp-[\w-]+)`", TEXT)) <= set(NAMES["config_maps"])


def test_the_small_cluster_reaches_the_pods_of_the_store():
    name = KIND["store"]["endpoint"].removeprefix("http://").partition(".")[0]
    assert set(KIND["networkPolicy"]["storePorts"]) <= set(NAMES["pods"][name])


def test_the_versions_are_those_that_the_readme_installs():
    assert {version[:-2] for version in re.findall(r"ref=([\d.]+)", TEXT)} <= set(NAMES["versions"])
