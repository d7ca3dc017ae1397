import importlib
import json
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest

from tests.charts import restricted
from tests.charts.rendering import CHART, FULL, TABLE, objects

VERSIONS = ("1.31", "1.32", "1.33", "1.34")
RUNTIMES = {"TrainingRuntime": "training_runtime", "ClusterTrainingRuntime": "cluster_training_runtime"}
MONITORS = json.loads((Path(__file__).parent / "monitoring.schema.json").read_text())
FOREIGN = {*RUNTIMES, *MONITORS["definitions"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("case", TABLE)
def test_kubernetes_takes_every_object(case, version):
    for item in objects(TABLE[case]):
        if item["kind"] not in FOREIGN:
            kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_the_job_inside_the_runtime(version):
    for values in TABLE.values():
        for job in jobs(values):
            job["spec"]["template"]["spec"].setdefault("restartPolicy", "Never")
            whole = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": "node"},
                "spec": job["spec"],
            }
            kubernetes_validate.validate(whole, version, strict=True)


def jobs(values):
    for item in objects(values):
        if item["kind"] in RUNTIMES:
            yield from (job["template"] for job in item["spec"]["template"]["spec"]["replicatedJobs"])


@pytest.mark.parametrize("case", sorted(TABLE.keys() - {"kind"}))  # where there is no Trainer
def test_the_runtime_is_one_of_the_trainer(case):
    """Read with Kubeflow's own models of its API; a key that they do not know does not come back."""
    found = [item for item in objects(TABLE[case]) if item["kind"] in RUNTIMES]
    assert len(found) == 1
    assert lost(found[0], parsed(found[0])) == []


def parsed(item):
    name = RUNTIMES[item["kind"]]
    module = importlib.import_module(f"kubeflow_trainer_api.models.trainer_v1alpha1_{name}")
    return getattr(module, f"TrainerV1alpha1{item['kind']}").from_dict(item).to_dict()


def lost(given, back, path="."):
    """Paths of what was given and did not come back."""
    if isinstance(given, dict) and isinstance(back, dict):
        return [hit for key in given for hit in lost(given[key], back.get(key), f"{path}{key}.")]
    if isinstance(given, list) and isinstance(back, list) and len(given) == len(back):
        return [
            hit for i, (a, b) in enumerate(zip(given, back, strict=True)) for hit in lost(a, b, f"{path}{i}.")
        ]
    # The models write quantities, ints or strings, as objects of their own.
    same = given == back or str(given) == str(back) or (given in ({}, []) and not back)
    return [] if same else [path]


@pytest.mark.parametrize(
    "damage",
    [
        lambda spec: spec["mlPolicy"]["torch"].update(numProcPerNode="auto"),  # gone since Trainer 2.2
        lambda spec: spec["template"]["spec"]["failurePolicy"].update(restarts=3),
        lambda spec: spec["template"]["spec"]["replicatedJobs"][0]["template"]["spec"].update(backofLimit=1),
    ],
)
def test_a_wrong_key_in_the_runtime_is_noticed(damage):
    item = next(item for item in objects(FULL) if item["kind"] in RUNTIMES)
    damage(item["spec"])
    assert lost(item, parsed(item)) != []


def test_the_runtime_restarts_everything_together_and_only_what_may_help():
    from components.lib.core.errors import ConfigError, DataError, Interrupted, Orphaned, ServiceError

    spec = next(i for i in objects(FULL) if i["kind"] in RUNTIMES)["spec"]["template"]["spec"]
    policy = spec["failurePolicy"]
    assert policy["restartStrategy"] == "BlockingRecreate" and policy["maxRestarts"] == 20
    assert [rule["action"] for rule in policy["rules"]] == ["FailJobSet"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    final = job["podFailurePolicy"]["rules"][0]["onExitCodes"]["values"]
    assert job["backoffLimit"] == 0 and job["template"]["spec"]["restartPolicy"] == "Never"
    assert {ConfigError.exit_code, DataError.exit_code, Orphaned.exit_code} <= set(final)
    assert not {Interrupted.exit_code, ServiceError.exit_code, 1, 137, 143} & set(final)
    labels = spec["replicatedJobs"][0]["template"]["metadata"]["labels"]
    assert labels["trainer.kubeflow.org/trainjob-ancestor-step"] == "trainer"
    # JobSet deletes what has ended after a TTL, and Trainer makes it anew: all would be trained again
    assert "ttlSecondsAfterFinished" not in json.dumps(spec)


def test_pods_of_a_training_reach_the_server_of_their_status():
    policy = next(o for o in objects(FULL) if o["metadata"]["name"].endswith("-ranks"))
    (rule,) = (one for one in policy["spec"]["egress"] if "ports" in one)
    assert rule["ports"] == [{"port": 10443, "protocol": "TCP"}]
    (peer,) = rule["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "kubeflow-system"}


@pytest.mark.parametrize("case", TABLE)
def test_monitoring_objects_fit_their_schema(case):
    found = [item for item in objects(TABLE[case]) if item["kind"] in MONITORS["definitions"]]
    assert len(found) == (3 if case == "full" else 0)
    for item in found:
        reference = {**MONITORS, "$ref": f"#/definitions/{item['kind']}"}
        jsonschema.validate(item, reference)
        damaged = json.loads(json.dumps(item))
        damaged["spec"]["endpoint"] = []
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(damaged, reference)


def test_the_dashboard_is_one():
    board = json.loads((CHART / "dashboard.json").read_text())
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]}
    numbers = {panel["id"] for panel in board["panels"]}
    assert board["uid"] == "trunkline" and len(places) == len(numbers) == len(board["panels"])
    installed = next(o for o in objects(FULL) if o["metadata"]["name"].endswith("-dashboard"))
    text = installed["data"]["trunkline.json"]
    assert "$NAMESPACE" not in text and json.loads(text)["title"] == "Trunkline"


def test_pods_of_every_kind_were_looked_at():
    assert sum(1 for item in objects({}) for _ in restricted.pods(item)) == 4
