"""What each value switches on or off: the golden file shows the whole, these what not every release has."""

import json

import pytest

from tests.charts.rendering import DATABASE, EXTERNAL, FULL, named, objects

BASE = "trunkline"
OWN_DATABASE = ["NetworkPolicy", "Service", "ServiceAccount", "StatefulSet"]
SCHEDULED = ["ConfigMap", "Job", "NetworkPolicy", "ServiceAccount"]
SCHEDULES = {"schedules": {"a": "x"}, "pipelines": {"cluster": "x: y"}, "images": {"pipelines": "r/z:1"}}
MULTI_USER = {**SCHEDULES, "pipelines": {"cluster": "x: y", "multiUser": True}}
RUNTIME = "trunkline-torch"
POLICIES = ["deny", "names", "store", "mlflow", "postgresql", "tracking", "ranks", "kubernetes"]


def of(suffix, *kinds):
    return {(kind, f"{BASE}{suffix}") for kind in kinds}


def served(**model):
    return {"serving": {"models": [model]}, "images": {"serving": "r/e:1"}}


SERVED = ["Deployment", "Service", "PodDisruptionBudget"]
SCHEDULE = of("-schedule-cluster", "ConfigMap") | of("-schedule-end", "Job")

# values, what they add to a minimal release, what they take away
SWITCHES = [
    ({"mlflow": {"maxReplicas": 2}}, of("-mlflow", "HorizontalPodAutoscaler"), set()),
    ({"mlflow": {"ingress": {"host": "a.b", "tlsSecret": "c"}}}, of("-mlflow", "Ingress"), set()),
    (DATABASE, set(), of("-postgresql", "Secret", *OWN_DATABASE)),
    ({"database": {"existingSecret": "login"}}, set(), of("-postgresql", "Secret")),
    (
        served(name="trunkline-20news-topics"),
        of("-serve-trunkline-20news-topics", *SERVED) | of("-serving", "NetworkPolicy"),
        set(),
    ),
    (
        served(name="news-tone", maxReplicas=2),
        of("-serve-news-tone", *SERVED, "HorizontalPodAutoscaler") | of("-serving", "NetworkPolicy"),
        set(),
    ),
    ({"quota": {"pods": "1"}}, of("", "ResourceQuota"), set()),
    ({"garbage": {"enabled": False}}, set(), of("-garbage", "CronJob") | of("-kubernetes", "NetworkPolicy")),
    ({"pipelines": {"role": ""}}, set(), of("-runner", "RoleBinding")),
    (SCHEDULES, of("-schedule", *SCHEDULED) | SCHEDULE, set()),
    (
        MULTI_USER,
        of("-schedule", *SCHEDULED, "Role", "RoleBinding") | SCHEDULE,
        set(),
    ),
    (
        {"networkPolicy": {"enabled": False}},
        set(),
        {("NetworkPolicy", f"{BASE}-{name}") for name in POLICIES},
    ),
    (
        {"monitoring": {"enabled": True}},
        of("-mlflow", "ServiceMonitor") | of("-dashboard", "ConfigMap") | of("", "PrometheusRule"),
        set(),
    ),
    (
        {"trainer": {"enabled": False}},
        set(),
        of("-launcher", "Role", "RoleBinding")
        | of("-ranks", "NetworkPolicy")
        | of("-kubernetes", "NetworkPolicy")
        | of("-torch", "TrainingRuntime"),
    ),
    (
        {"trainer": {"clusterWide": True}},
        {(kind, f"kubeflow-{BASE}-runtimes") for kind in ("ClusterRole", "ClusterRoleBinding")}
        | {("ClusterTrainingRuntime", RUNTIME)},
        {("TrainingRuntime", RUNTIME)},
    ),
    (
        {**EXTERNAL, "garbage": {}},
        set(),
        of("-postgresql", "Secret", *OWN_DATABASE)
        | of("-mlflow", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"),
    ),
]


def names(values):
    return {(one["kind"], one["metadata"]["name"]) for one in objects(values)}


@pytest.mark.parametrize(("values", "added", "gone"), SWITCHES, ids=[json.dumps(row[0]) for row in SWITCHES])
def test_a_value_adds_and_removes_its_objects_alone(values, added, gone):
    usual, found = names({}), names(values)
    assert (found - usual, usual - found) == (added, gone)


def test_the_full_release_has_every_object():
    every = names({}).union(*(names(values) for values, *_ in SWITCHES))
    assert every - names(FULL) == {("TrainingRuntime", RUNTIME)}, "it is cluster-wide there"


def egress(found, name):
    return json.dumps(named(found, "NetworkPolicy", f"{BASE}-{name}")["spec"]["egress"])


def test_a_minimal_release_says_less():
    text, found = json.dumps(objects({})), objects({})
    for word in ("--expose-prometheus", "POD_IP", "AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "--delete"):
        assert word not in text and word in json.dumps(objects(FULL)), word
    server = named(found, "Deployment", f"{BASE}-mlflow")["spec"]
    assert (
        server["replicas"] == 1
        and "replicas" not in named(objects(FULL), "Deployment", f"{BASE}-mlflow")["spec"]
    )
    assert "postgresql://mlflow@trunkline-postgresql:5432/mlflow?sslmode=prefer" in json.dumps(server)
    assert '"port": 443' in egress(found, "store") and 'component": "postgresql' in egress(found, "mlflow")


def test_what_is_elsewhere_is_called_there():
    found = objects(DATABASE)
    server = json.dumps(named(found, "Deployment", f"{BASE}-mlflow"))
    assert "postgresql://mlflow@postgres.example:6432/mlflow?sslmode=verify-full" in server
    assert '"name": "login", "key": "password"' in server
    assert egress(found, "mlflow") == '[{"ports": [{"port": 6432, "protocol": "TCP"}]}]'
    found = objects(EXTERNAL)
    settings = named(found, "ConfigMap", BASE)["data"]
    assert settings["MLFLOW_TRACKING_URI"] == "http://trunkline-mlflow.kubeflow:5000"
    assert egress(found, "tracking") == '[{"ports": [{"port": 5000, "protocol": "TCP"}]}]'
    assert '"port": 9000' in egress(found, "store")
