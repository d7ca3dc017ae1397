"""What the file of a cluster decides, read from compiled pipelines; and what is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components import STAGES
from components.lib.core.errors import ConfigError, ConfigErrors
from components.lib.core.notifications import FORM, ON, URL
from pipelines import compiled_checks
from pipelines.cluster import NEEDS, OWN, load, whole
from pipelines.compile import digest
from tests.architecture.imports import ROOT
from tests.pipelines.test_golden import GOLDEN, compiled, executors, tasks

SECRET = "AKIAIOSFODNN7EXAMPLE"
ITEM = "Output-loop-item:\n          parameterType: "


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Every pipeline as two documents, and the folder, for the example cluster with a registry of ours."""
    folder = tmp_path_factory.mktemp("compile") / "golden"
    compiled(folder, TRUNKLINE_CLUSTER="nvidia", AWS_SECRET_ACCESS_KEY=SECRET)
    return {path.stem: list(yaml.safe_load_all(path.read_text())) for path in folder.glob("*.yaml")}, folder


def settings_of(documents):
    return documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]


def placed(documents):
    """stage -> (container, Kubernetes settings); importers have neither."""
    containers, found = executors(documents[0]), {}
    for name, settings in settings_of(documents).items():
        stage = settings["podMetadata"]["labels"]["app.kubernetes.io/component"]
        found[stage] = containers[name]["container"], settings
    return found


@pytest.fixture(scope="module")
def everywhere(built):
    """(container, settings) of every stage of every pipeline."""
    return [one for documents in built[0].values() for one in placed(documents).values()]


def test_every_container_is_placed_as_the_golden_example_says(built):
    golden = (GOLDEN / "nvidia" / "training.yaml").read_text()
    assert (built[1] / "training.yaml").read_text() == golden, (
        "if it is meant: make golden, and read the difference"
    )
    for pipeline in built[0].values():
        containers = [one for one in executors(pipeline[0]).values() if "container" in one]
        assert len(placed(pipeline)) == len(containers)
    assert set(placed(built[0]["training"])) == set(STAGES)


def test_images_accelerators_processors_and_pools(built):
    cpus = {
        "pretraining": "64",
        "ingestion": "16",
        "tokenization": "16",
        "finetuning": "4",
        "evaluation": "4",
    }
    for stage, (container, settings) in placed(built[0]["training"]).items():
        assert container["image"] == f"registry.example/trunkline/trunkline-{stage}"
        wants = stage in ("pretraining", "finetuning", "evaluation")
        assert ("accelerator" in container["resources"]) == wants
        assert ("tolerations" in settings) == ("nodeSelector" in settings) == wants
        assert any(mount["mountPath"] == "/dev/shm" for mount in settings["emptyDirMounts"]) == wants
        variables = {one["name"]: one["value"] for one in container["env"]}
        assert variables["TRUNKLINE_CPUS"] == cpus.get(stage, "1"), "so many processes are started"
    resources = placed(built[0]["training"])["pretraining"][0]["resources"]
    gpus = {"count": "8", "resourceCount": "8", "resourceType": "nvidia.com/gpu", "type": "nvidia.com/gpu"}
    assert resources["accelerator"] == gpus
    assert resources["resourceMemoryLimit"] == resources["resourceMemoryRequest"] == "512Gi"


def test_no_container_is_root_or_writes_elsewhere_or_runs_for_ever(everywhere):
    for container, settings in everywhere:
        assert settings["securityContext"] == {"runAsNonRoot": True, "runAsUser": "1001"}
        assert int(settings["activeDeadlineSeconds"]) > 0
        assert "/scratch" in [mount["mountPath"] for mount in settings["emptyDirMounts"]]
        variables = {entry["name"]: entry["value"] for entry in container["env"]}
        assert all(variables[name].startswith("/scratch") for name in ("TMPDIR", "HOME", "HF_HOME"))
        assert variables["TRUNKLINE_IMAGE"] == container["image"]


# What the MLflow plugin of KFP 2.17 gives a step, as values, where it may (injectUserEnvVars).
PLUGIN = "RUN_ID TRACKING_URI EXPERIMENT_ID WORKSPACE TRACKING_AUTH".split()


def test_variables_have_one_source_and_secrets_are_named_and_never_written(built, everywhere):
    """Argo makes one variable of those with one name, and Kubernetes refuses it if it has both."""
    for container, settings in everywhere:
        values = [entry["name"] for entry in container["env"]]
        named = [*settings["secretAsEnv"], *settings["configMapAsEnv"]]
        sources = [one["envVar"] for entry in named for one in entry["keyToEnv"]]
        names = [*(f"MLFLOW_{name}" for name in PLUGIN), *values, *sources]
        assert len(set(names)) == len(names) and set(values) <= set(OWN)
        assert "TRUNKLINE_TRACKING_URI" in sources
        assert [one["secretName"] for one in settings["secretAsEnv"]] == ["trunkline"]
        # What may be missing does not keep a pod from starting.
        assert all(one["optional"] for one in (*named, *settings.get("configMapAsVolume", ())))
    assert not any(SECRET in path.read_text() for path in built[1].glob("*.yaml"))


def test_retries_stand_only_where_kubeflow_keeps_them(built):
    """KFP drops them in loops, in silence (kubeflow/pipelines 12389)."""
    retried, looped = set(), set()
    for document, _ in built[0].values():
        graphs = {"root": document["root"], **document["components"]}
        inner = {name: graph.get("dag", {}).get("tasks", {}) for name, graph in graphs.items()}
        all_tasks = [task for tasks in inner.values() for task in tasks.items()]
        loops = {one["componentRef"]["name"] for _, one in all_tasks if "parameterIterator" in one}
        retried |= {name for name, one in all_tasks if "retryPolicy" in one}
        looped |= {task for name in loops for task in inner[name]}
    assert looped == {"finetune", "evaluate"}
    assert retried == {"ingest", "tokenize", "pretrain", "register", "promote", "close"}


def test_argo_lets_every_attempt_have_its_time(built):
    """It counts backoffMaxDuration from the start of the first attempt (kubeflow/pipelines 13452, 14245)."""
    found = 0
    for documents in built[0].values():
        for task in (one for one in tasks(documents[0]) if "retryPolicy" in one):
            policy, name = task["retryPolicy"], task["componentRef"]["name"].removeprefix("comp-")
            seconds = int(settings_of(documents)[f"exec-{name}"]["activeDeadlineSeconds"])
            attempts = policy["maxRetryCount"] + 1
            waits = (attempts - 1) * int(policy["backoffDuration"].removesuffix("s"))
            assert policy["backoffFactor"] == 1
            assert int(policy["backoffMaxDuration"].removesuffix("s")) > 10 * (attempts * seconds + waits)
            found += 1
    assert found >= 10


# Of KubernetesExecutorConfig in kfp-kubernetes 2.16.0: its driver refuses a field that it does not know.
KNOWN = set(
    "activeDeadlineSeconds configMapAsEnv configMapAsVolume emptyDirMounts enabledSharedMemory "
    "fieldPathAsEnv genericEphemeralVolume imagePullPolicy imagePullSecret nodeAffinity nodeSelector "
    "podAffinity podMetadata pvcMount secretAsEnv secretAsVolume securityContext tolerations".split()
)


def test_kubeflow_pipelines_2_16_knows_every_setting(everywhere):
    for _, settings in everywhere:
        assert settings.keys() <= KNOWN
        assert settings["securityContext"].keys() <= {"runAsUser", "runAsGroup", "runAsNonRoot"}


def test_every_cluster_can_be_loaded_and_the_small_one_is_small():
    for path in (ROOT / "pipelines" / "clusters").glob("*.yaml"):
        assert load(path.stem).images
    assert set(NEEDS) == set(STAGES)
    for stage in STAGES:
        needs = load("kind").needs(stage)
        assert float(needs.memory.removesuffix("Gi").replace("512Mi", "0.5")) <= 4 and not needs.accelerators
        assert whole(needs.cpu) <= 2


def test_manifests_for_gitops(tmp_path):
    command = [sys.executable, "-m", "pipelines.compile", tmp_path, "training"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    text = (tmp_path / "training.yaml").read_text()
    pipeline, release = yaml.safe_load_all((tmp_path / "kubernetes" / "training.yaml").read_text())
    assert (pipeline["kind"], release["kind"]) == ("Pipeline", "PipelineVersion")
    assert pipeline["metadata"]["name"] == release["spec"]["pipelineName"] == "trunkline-training"
    assert release["metadata"]["name"].endswith(f"-{digest(text)}")
    specification, platform = yaml.safe_load_all(text)
    assert release["spec"]["pipelineSpec"]["root"] == specification["root"]
    assert release["spec"]["platformSpec"] == platform


def test_version_is_of_the_content_not_of_the_compiler():
    text = (GOLDEN / "training.yaml").read_text()
    assert digest(f"{text}sdkVersion: kfp-9.9.9\n") == digest(text) != digest(f"{text}x: 1\n")


def test_the_environment_names_the_cluster_and_the_images(monkeypatch):
    monkeypatch.setenv("TRUNKLINE_CLUSTER", "nvidia")
    monkeypatch.setenv("TRUNKLINE_IMAGES", "mine/{image}:3")
    assert (load().accelerator, load().images) == ("nvidia.com/gpu", "mine/{image}:3")


def test_scratch_of_a_storage_class_and_a_secret_that_closing_alone_gets(tmp_path):
    path = tmp_path / "c.yaml"
    notify = "notify: {secret: hooks, on: [failed, drift], form: slack}"
    path.write_text(f"scratch_class: fast\nstages: {{ingestion: {{scratch: 7Gi}}}}\n{notify}\n")
    compiled(tmp_path / "golden", TRUNKLINE_CLUSTER=str(path))
    documents = list(yaml.safe_load_all((tmp_path / "golden" / "training.yaml").read_text()))
    volume = placed(documents)["ingestion"][1]["genericEphemeralVolume"][0]
    assert (volume["storageClassName"], volume["size"], volume["mountPath"]) == ("fast", "7Gi", "/scratch")
    given = {stage: settings.get("secretAsEnv", []) for stage, (_, settings) in placed(documents).items()}
    ((hooks,),) = (given.pop("closing"),)
    assert hooks["secretName"] == "hooks" and hooks["keyToEnv"] == [{"secretKey": "url", "envVar": URL}]
    assert not any(given.values())
    variables = {one["name"]: one["value"] for one in placed(documents)["closing"][0]["env"]}
    assert (variables[ON], variables[FORM]) == ("failed,drift", "slack")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("stagez: {}", "did you mean 'stages'"),
        ("stages: {pretrain: {cpu: '1'}}", "did you mean 'pretraining'"),
        ("stages: {ingestion: {memory: 8 GB}}", "8 GB"),
        ("stages: {finetuning: {retries: 2}}", "loop"),
        ("pools: {gpu: {}}", "known: cpu, accelerator"),
        ("pools: {cpu: {tolerations: [{operator: Is}]}}", "Equal, Exists"),
        ("images: registry/all", "{image}"),
        ("secrets: {Trunkline: [A]}", "not a name"),
        ("{secrets: {a: [HF_TOKEN]}, config_maps: {b: [X, HF_TOKEN]}}", "two sources"),
        ("config_maps: {b: [HOME]}", "two sources"),
        ("notify: {secret: a, on: [failures]}", "did you mean 'failed'"),
        ("notify: {secret: a, form: teams}", "cloudevents, slack"),
        ("notify: {secret: 'https://hooks.example/x'}", "not a name"),
    ],
)
def test_what_is_refused(tmp_path, text, says):
    path = tmp_path / "cluster.yaml"
    path.write_text(text)
    with pytest.raises(ConfigErrors) as raised:
        load(str(path))
    assert says in str(raised.value)


def test_a_secret_written_by_mistake_is_not_shown_and_a_wrong_name_is_told(tmp_path):
    path = tmp_path / "cluster.yaml"
    path.write_text("secrets: {trunkline: ['wJalrXUtnFEMI/K7MDENG']}")
    with pytest.raises(ConfigErrors) as raised:
        load(str(path))
    assert "wJalr" not in str(raised.value) and "21 characters" in str(raised.value)
    with pytest.raises(ConfigError, match="no such cluster") as raised:
        load("nvidea")
    assert "did you mean 'nvidia'" in raised.value.fix


@pytest.mark.parametrize(
    ("find", "put", "says"),
    [
        ("def preflight(", "def preflight(  # pip install x", "installed when it runs"),
        ("def preflight(", f"def preflight(  # {'x' * 125_000}", "too long"),
        ("name: HOME", "name: HF_TOKEN", "a secret is written out"),
        ("root:\n", "roots:\n", "not a pipeline"),
        ("resourceMemoryLimit: ", "resourceMemoryLimits: ", "not a pipeline"),
        ("runAsNonRoot: true", "runAsNobody: true", "not a pipeline"),
        (f"{ITEM}STRUCT", f"{ITEM}STRING", "driver refuses"),
    ],
)
def test_the_check_of_compiled_pipelines(find, put, says):
    text = Path(GOLDEN / "training.yaml").read_text()
    compiled_checks.check(text, "training.yaml")
    with pytest.raises(ConfigErrors) as raised:
        compiled_checks.check(text.replace(find, put, 1), "training.yaml")
    assert says in str(raised.value)
