import dataclasses

import pytest

from components.lib.core.errors import IntegrityError, MissingError
from components.lib.registry.registered_models import Registry
from components.lib.storage import artifacts
from components.lib.storage.store import Store
from components.registration.config import Config
from components.registration.run import run
from tests import models
from tests.killing import dying, state


def given(context, tmp_path, seed=0):
    manifest = models.trunk(context.store, seed)
    path = tmp_path / f"trunk-{seed}.json"
    manifest.write(path)
    return manifest, path


def registered(context, tmp_path, trunk, config=None):
    run(config or Config("news"), context, trunk=trunk, registered=tmp_path / "out.json")
    return artifacts.read(tmp_path / "out.json")


def test_a_trunk_is_registered_with_all_that_is_known_of_it(tracked, tmp_path):
    trunk, path = given(tracked, tmp_path)
    made = registered(tracked, tmp_path, path)
    assert made.key.inputs == {"trunk": trunk.reference}
    registry = Registry(tracked.tracking_uri)
    version = registry.find("news", "challenger")
    assert made.facts == {
        "name": "news",
        "version": "1",
        "run_id": version.run_id,
        "model_id": version.model_id,
        "model_uri": "models:/news/1",
    }
    assert version.reference == trunk.reference
    for stage in ("tokenization", "ingestion"):
        assert tracked.store.resolve(version.tags[f"trunkline.{stage}"]).key.stage == stage
    files = [["tokenizer/tokenizer.json", artifacts.sha256(b"{}")]]
    assert version.tags["trunkline.tokenizer"] == artifacts.sha256(artifacts.canonical(files))
    assert version.tags["trunkline.git"] == "0" * 40 and version.tags["kfp.pipeline_run_id"] == "run-1"


def test_a_run_that_takes_what_another_has_made_says_so(tracked, tmp_path):
    _, path = given(tracked, tmp_path)
    made = registered(tracked, tmp_path, path)
    later = dataclasses.replace(tracked, run_id="run-2")
    for _ in range(2):
        assert registered(later, tmp_path, path).facts == made.facts
    client = Registry(tracked.tracking_uri).client
    (experiment,) = [one for one in client.search_experiments() if one.name == "smoke"]
    query = "tags.`kfp.pipeline_run_id` = 'run-2' and tags.`trunkline.stage` = 'registration'"
    (run,) = client.search_runs([experiment.experiment_id], query)
    assert run.info.status == "FINISHED" and run.info.run_name == "news"
    assert run.data.tags["trunkline.made_by"] == "run-1"
    assert run.data.tags["trunkline.adopted"] == made.key.inputs["trunk"]
    assert "Adopted: run run-1" in run.data.tags["mlflow.note.content"]


@pytest.mark.parametrize("plugin", [True, False, "of another server"])
def test_with_and_without_the_mlflow_plugin_of_kfp(plugin, tracked, tmp_path, monkeypatch):
    """The plugin opens a run a task and names it in the environment: the version then belongs to it."""
    client = Registry(tracked.tracking_uri).client
    place = client.create_experiment("pipelines", artifact_location=str(tmp_path / "artifacts"))
    parent = client.create_run(place, run_name="a run of Kubeflow").info.run_id
    opened = client.create_run(place, run_name="register", tags={"mlflow.parentRunId": parent}).info.run_id
    page = "https://kubeflow.example/#/runs/details/run-1"
    tracked.details |= {"run_name": "smoke 2026-11-28", "page": page}
    if plugin:
        monkeypatch.setenv("MLFLOW_RUN_ID", opened)
        uri = "http://another.server" if plugin == "of another server" else tracked.tracking_uri
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    made = registered(tracked, tmp_path, given(tracked, tmp_path)[1])
    assert (made.facts["run_id"] == opened) == (plugin is True)
    found = client.get_run(made.facts["run_id"])
    assert found.data.tags["trunkline.stage"] == "registration" and found.data.metrics["parameters"] == 12_345
    assert found.outputs.model_outputs[0].model_id == made.facts["model_id"]
    parents = client.search_runs([found.info.experiment_id], "tags.`trunkline.run` = 'run-1'")
    if plugin is True:
        assert found.info.run_name == "register"  # the plugin's name is kept
        assert [run.info.run_id for run in parents] == [parent], "its parent is the whole run"
        return
    (whole,) = parents
    assert (
        whole.info.run_name == "smoke 2026-11-28"
        and found.data.tags["mlflow.parentRunId"] == whole.info.run_id
    )
    assert "(https://kubeflow.example/#/runs/details/run-1)" in whole.data.tags["mlflow.note.content"]


def test_the_run_shows_curves_settings_and_data(tracked, tmp_path):
    made = registered(tracked, tmp_path, given(tracked, tmp_path)[1])
    client = Registry(tracked.tracking_uri).client
    run_id = made.facts["run_id"]
    curve = client.get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in curve] == [(step, 3.0 / step) for step in range(1, 6)]
    found = client.get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["final.validation"] == 0.7 and found.data.metrics["parameters"] == 12_345
    assert found.data.params["pretraining.objectives.masked_lm.ratio"] == "0.3"
    assert found.inputs.dataset_inputs[0].dataset.name == "corpus"
    assert found.outputs.model_outputs[0].model_id == made.facts["model_id"]
    assert [entry.path for entry in client.list_artifacts(run_id)] == ["README.md"]


def test_the_card_escapes_what_it_is_told(tracked, tmp_path):
    registered(tracked, tmp_path, given(tracked, tmp_path)[1], Config("news <script>_x_|"))
    client = Registry(tracked.tracking_uri).client
    card = client.get_model_version("news <script>_x_|", "1").description
    assert card.startswith("A trunk of 12,345 parameters")  # the page has a title already
    assert "<" not in card.partition("```")[0]
    assert "12,345" in card and "masked\\_lm" in card and "pretraining/" in card


def test_the_second_time_nothing_is_made_but_runs_that_say_so(tracked, tmp_path):
    _, path = given(tracked, tmp_path)
    first, later = registered(tracked, tmp_path, path), dataclasses.replace(tracked, run_id="run-2")
    registered(later, tmp_path, path)
    before = state(Registry(tracked.tracking_uri).client)
    with dying(0):  # any change would kill it
        assert registered(later, tmp_path, path) == first
    assert state(Registry(tracked.tracking_uri).client) == before
    assert [output["reused"] for output in tracked.outputs] == [False, True, True]


def test_without_a_trunk_the_registered_one_is_found(tracked, tmp_path):
    trunk, path = given(tracked, tmp_path)
    registered(tracked, tmp_path, path)
    found = registered(tracked, tmp_path, None, Config("news", alias="challenger"))
    assert found.key.inputs == {"trunk": trunk.reference} and found.facts["version"] == "1"
    with pytest.raises(MissingError) as caught:
        registered(tracked, tmp_path, None, Config("news", alias="champion"))
    assert caught.value.found == "challenger -> version 1"


def test_a_registered_trunk_of_another_store_is_missed(tracked, tmp_path):
    registered(tracked, tmp_path, given(tracked, tmp_path)[1])
    elsewhere = dataclasses.replace(tracked, store=Store(str(tmp_path / "elsewhere")))
    with pytest.raises(MissingError, match="does not hold an input"):
        registered(elsewhere, tmp_path, None, Config("news", alias="challenger"))


def test_damaged_weights_are_not_registered(tracked, tmp_path):
    trunk, path = given(tracked, tmp_path)
    weights = tracked.store.objects.local(
        f"{trunk.uri.removeprefix(tracked.store.uri)[1:]}/model/model.safetensors"
    )
    data = bytearray(weights.read_bytes())
    data[100] ^= 1
    weights.write_bytes(data)
    with pytest.raises(IntegrityError, match="not what was committed"):
        registered(tracked, tmp_path, path)
    registry = Registry(tracked.tracking_uri)
    assert registry.version("news", trunk.reference) is None
    runs = registry.client.search_runs(["1"], "tags.`trunkline.stage` = 'registration'")
    assert [run.info.status for run in runs] == ["FAILED"]
