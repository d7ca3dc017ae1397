"""The compiled training pipeline, executed by the rules of a cluster's driver and launcher."""

import json

import pytest
import yaml
from mlflow import MlflowClient

from components import STAGES
from components.lib.registry.retention.inventory import owned
from components.lib.storage.store import Store
from tests.fakes.kubeflow_driver import Cluster
from tests.pipelines.test_golden import GOLDEN, compiled
from tests.pipelines.test_local_run import KEPT_OUT

pytestmark = pytest.mark.long

PLANTED = "planted-1-0123456789"
OVERRIDES = {key: yaml.safe_load(value) for key, value in (one.split("=", 1) for one in KEPT_OUT)}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the pipelines of a small cluster."""
    folder = tmp_path_factory.mktemp("cluster")
    compiled(folder, TRUNKLINE_CLUSTER="kind")
    return folder


def started(place, name, release, text=None):
    """A run in a cluster whose ConfigMap and Secret hold what the chart puts there."""
    variables = {"TRUNKLINE_STORE": str(place / "store"), "AWS_SECRET_ACCESS_KEY": PLANTED}
    variables["MLFLOW_TRACKING_URI"] = f"sqlite:///{place / 'mlflow.db'}"
    text = text or (place / "training.yaml").read_text()
    return Cluster(text, place / name, variables, release, run_id=name)


def record(place, name):
    return json.loads((place / "store" / "runs" / name / "exit.json").read_text())


@pytest.fixture(scope="module")
def first(place):
    run = started(place, "first", "2.16")
    return run, run.run(preset="smoke", overrides=OVERRIDES)


def test_the_whole_graph_comes_to_its_end(place, first):
    run, state = first
    assert state == "SUCCEEDED", run.output
    found = record(place, "first")
    assert found["status"] == "succeeded" and found["state"] == "RUNNING", "as 2.16 says"
    assert {entry["stage"] for entry in found["stages"]} == set(STAGES) - {"closing"}
    assert [result["task"] for result in found["results"]] == ["topics"]
    assert set(run.attempts.values()) == {1} and len(run.attempts) == len(STAGES)


def test_everything_in_the_store_is_of_the_garbage_collector(place, first):
    keys = list(Store(str(place / "store")).objects.keys(""))
    assert len(keys) > 50 and [key for key in keys if not owned(key)] == []
    assert {"aliases", "runs", "pretraining"} <= {key.partition("/")[0] for key in keys}


def test_no_secret_is_said(first):
    assert PLANTED not in first[0].output


def test_what_is_unchanged_is_passed_on_to_the_end(place, first):
    """And KFP's MLflow plugin, whose server is the right one, comes before what the ConfigMap says."""
    run = started(place, "again", "2.17")
    uri, run.variables["MLFLOW_TRACKING_URI"] = run.variables["MLFLOW_TRACKING_URI"], "http://127.0.0.1:1"
    ambient = MlflowClient(uri).create_run("0").info.run_id
    run.plugin = {"MLFLOW_RUN_ID": ambient, "MLFLOW_TRACKING_URI": uri, "MLFLOW_EXPERIMENT_ID": "0"}
    assert run.run(preset="smoke", overrides=OVERRIDES, skip_unchanged=True) == "SUCCEEDED", run.output
    assert run.attempts.keys() == first[0].attempts.keys()
    found = record(place, "again")
    assert found["status"] == "succeeded" and found["state"] == "COMPLETE", "as 2.17 says where all tasks ran"
    passed = {entry["stage"]: entry["passed_on"] for entry in found["stages"]}
    reason = "the data is unchanged"
    assert passed == {**dict.fromkeys(passed, reason), "preflight": ""} and len(passed) == len(STAGES) - 1


def test_new_branches_on_the_registered_trunk(place, first):
    """Registration gets no trunk; store and server are parameters, as this cluster's file names none."""
    run = started(place, "branches", "2.17", (GOLDEN / "finetuning.yaml").read_text())
    store, server = run.variables["TRUNKLINE_STORE"], run.variables["MLFLOW_TRACKING_URI"]
    given = {"preset": "smoke", "overrides": {"finetuning.steps": 3}, "store": store, "tracking_uri": server}
    assert run.run(**given) == "SUCCEEDED", run.output
    stages = {entry["stage"]: entry for entry in record(place, "branches")["stages"]}
    assert set(stages) == {"preflight", "registration", "finetuning", "evaluation", "promotion"}
    found = record(place, "branches")
    assert found["status"] == "succeeded" and found["state"] == "COMPLETE", "as 2.17 says where all tasks ran"


@pytest.mark.parametrize("release", ["2.16", "2.17"])
def test_a_stage_that_fails_is_named_and_retried_by_older_releases(place, release):
    name = f"failing-{release}"
    run = started(place, name, release)
    bad = place / "bad.jsonl"
    good = "".join(json.dumps({"text": f"a text that is read, number {n}"}) + "\n" for n in range(50))
    bad.write_text(good + "{not json\n" * 50)  # behind what preflight looks at
    assert run.run(preset="smoke", overrides={"ingestion.sources": [str(bad)], "tasks": []}) == "FAILED"
    found = record(place, name)
    assert found["status"] == "failed" and found["failure"]["stage"] == "ingestion"
    assert found["failure"]["error"]["exit_code"] == 65
    assert run.attempts == {
        "root.exit-handler-1.preflight": 1,
        "root.exit-handler-1.ingest": {"2.16": 3, "2.17": 1}[release],  # 2.17: pods that were deleted alone
        "root.close": 1,
    }


def test_an_item_of_the_wrong_type_ends_a_run_as_on_a_cluster(place, first):
    """What the compiled pipeline said before: the driver of these tests would have refused it."""
    text = (place / "training.yaml").read_text()
    wrong = text.replace(
        "Output-loop-item:\n          parameterType: STRUCT",
        "Output-loop-item:\n          parameterType: STRING",
    )
    run = started(place, "typed", "2.17", wrong)
    assert run.run(preset="smoke", overrides=OVERRIDES) == "FAILED"
    assert not [name for name in run.attempts if "finetune" in name]
    assert record(place, "typed")["failure"]["stage"] == "finetuning"
