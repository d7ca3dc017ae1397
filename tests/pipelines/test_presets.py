"""Every preset runs whole, with a handful of steps and records, in one process: from settings to report.

Its sources are replaced by small files in their formats: nothing is asked of a network. Those for clusters of
GPUs have a nano trunk, on one process; their own is built on the device without values.
"""

import gzip
import importlib
import inspect
import json
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from components.lib import modalities
from components.lib.core.settings import from_dict
from components.lib.data import images, tones
from components.lib.data.sources import sample
from components.lib.modalities.audio import recordings
from components.preflight import settings
from components.preflight.plan import resolve
from components.preflight.public_weights.origin import is_reference
from components.pretraining.config import Config
from components.pretraining.train import build
from pipelines import local as local_run
from pipelines import parameters
from tests import made
from tests.architecture.imports import ROOT
from tests.made import published

PRESETS = sorted(settings.presets())
GPUS = [name for name in PRESETS if name.endswith("gpu")]
COUNT = 60  # records of a source
SMALL = {
    "ingestion.workers": 1,
    "pretraining.steps": 2,
    "pretraining.minutes": 0,
    "pretraining.global_batch": 8,
    "pretraining.validation_samples": 8,
    "pretraining.nproc": 1,
    "pretraining.threads": 1,
    "pretraining.precision": "fp32",
    "finetuning.label_counts": [12],
    "finetuning.seeds": [0],
    "finetuning.steps": 2,
    "finetuning.test_examples": 12,
    "evaluation.replicates": 100,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A store that all presets share, so that the same data are read once."""
    return tmp_path_factory.mktemp("presets")


def small(preset: str, folder: Path) -> dict[str, Any]:
    """The overrides that cut a preset down: few records of the same form, few steps."""
    values = settings.load(preset)
    overrides = {**SMALL, "ingestion.sources": [local(uri, folder) for uri in values["ingestion"]["sources"]]}
    for task in values.get("tasks", []):
        for split in {"train", "test"} & task.keys():
            overrides[f"tasks.{task['name']}.{split}.source"] = local(task[split]["source"], folder)
        if "steps" in task.get("finetuning", {}):
            overrides[f"tasks.{task['name']}.finetuning.steps"] = 2
    if preset in GPUS:
        overrides["pretraining.trunk.size"] = "nano"
    if values["modality"] == "pairs":
        overrides |= {f"pretraining.trunk.{part}.size": "nano" for part in ("image", "text")}
    if is_reference(values["pretraining"].get("start", "")):  # whose few words are not those of the texts
        weights = published.text(folder / "weights", "bert", max_position_embeddings=128)
        overrides |= {"pretraining.start": f"{weights}/", "tokenization.unknown": 1.0}
    return overrides


def local(uri: str, folder: Path) -> str:
    """A small file of the form of what stands behind a URI."""
    name = uri.partition("#")[0].rpartition("/")[2].partition("?")[0]
    if name == "*.png":
        (folder / "pictures").mkdir(exist_ok=True)
        for number, record in enumerate(made.records("image", COUNT)):
            (folder / "pictures" / f"{number}.png").write_bytes(images.content(record["image"]))
        return str(folder / "pictures" / name)
    if uri.startswith("npm:"):
        return emoji(folder / uri.partition("==")[0].rpartition(":")[2], seed=int("twitter" in uri))
    if name.endswith(".wav"):
        return words(folder, uri)
    seed = int("test" in uri)
    path = folder / (name if uri.startswith("pypi:") else f"{name}-{seed}.jsonl")
    if name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(digits().encode()))
    elif name.endswith(".tab"):
        rows = ["Category\tText", "d\tstring", "class\tmeta"]
        draw = random.Random(seed)
        made_up = (sample._document(draw) for _ in range(COUNT))
        path.write_text("\n".join([*rows, *(f"{one['label']}\t{one['text']}" for one in made_up)]) + "\n")
    else:
        assert uri.startswith(("sample:", "hf:")), f"say here what a small file of {uri} is"
        make = sample.MAKERS.get(uri.removeprefix("sample:").partition("/")[0], sample._document)
        draw = random.Random(seed)
        path.write_text("".join(json.dumps(make(draw)) + "\n" for _ in range(COUNT)))
    return str(path)


def emoji(folder: Path, seed: int) -> str:
    """Images and a table of their names, and one without a name."""
    folder.mkdir(exist_ok=True)
    records, names = made.records("pairs", COUNT, seed), []
    for number, record in enumerate(records):
        (folder / f"{number}.png").write_bytes(images.content(record["image"]))
        names.append(
            {"image": f"{number}.png", "name": record["text"][0].upper(), "short_name": f"n{number}"}
        )
    (folder / "emoji.json").write_text(json.dumps(names[:-1]))
    return str(folder)


def words(folder: Path, uri: str) -> str:
    """Folders of clips, named as those of the command in a preset; the glob that they are found by."""
    draw = random.Random(0)
    for number in range(COUNT):
        record = tones.record(draw)
        place = folder / "words" / record["label"]
        place.mkdir(parents=True, exist_ok=True)
        name = f"en_{('f1', 'f2', 'm1', 'f5')[number % 4]}_{number}.wav"
        (place / name).write_bytes(recordings.content(record["audio"]))
    return str(folder / "words" / "*" / uri.rpartition("/")[2])


def digits() -> str:
    """Rows of 784 numbers and a class."""
    pixels, classes = load_digits(return_X_y=True)
    large = np.kron(pixels[: 4 * COUNT].reshape(-1, 8, 8), np.ones((3, 3)))
    large = np.pad(np.round(large * 15.9), ((0, 0), (2, 2), (2, 2))).astype(int).reshape(len(large), -1)
    return "".join(",".join(map(str, [*row, kind])) + "\n" for row, kind in zip(large, classes, strict=False))


class Artifact(SimpleNamespace):
    """What KFP hands to a component."""

    def log_metric(self, name: str, value: float) -> None:
        assert np.isfinite(value), name


class Run:
    """The graph of pipelines/training.py, whose components are called one after the other."""

    def __init__(self, folder: Path, tracking_uri: str, preset: str, name: str = "") -> None:
        self.folder, self.preset, self.name = folder / (name or preset), preset, name or preset
        self.folder.mkdir()
        self.common = {"store": str(folder / "store"), "run_id": self.name}
        self.tracking_uri = tracking_uri

    def artifact(self, name: str) -> Artifact:
        return Artifact(path=str(self.folder / name))

    def call(self, stage: str, **arguments: Any) -> Any:
        """The one component of a stage; outputs that nobody reads are written beside the others."""
        module = importlib.import_module(f"components.{stage}.component")
        (component,) = (it for it in vars(module).values() if hasattr(it, "python_func"))
        for name, parameter in inspect.signature(component.python_func).parameters.items():
            if name not in arguments and parameter.default is parameter.empty:
                arguments[name] = self.artifact(f"{stage}-{name}")
        return component.python_func(**arguments)

    def whole(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """From preflight to closing; what closing has written."""
        names = ("ingestion", "tokenization", "pretraining", "registration", "promotion")
        paths = {name: str(self.folder / f"{name}.json") for name in names}
        asked = {"preset": self.preset, "overrides": overrides, "tracking_uri": self.tracking_uri}
        items = self.call("preflight", **asked, **self.common, **paths)
        plan = {name: json.loads(Path(path).read_text()) for name, path in paths.items()}
        corpus, tokens, trunk, registered = map(self.artifact, ("corpus", "tokens", "trunk", "registered"))
        self.call("ingestion", settings=plan["ingestion"], corpus=corpus)
        self.call("tokenization", settings=plan["tokenization"], corpus=corpus, tokens=tokens)
        self.call("pretraining", settings=plan["pretraining"], tokens=tokens, trunk=trunk)
        self.call("registration", settings=plan["registration"], registered=registered, trunk=trunk)
        evaluations = []
        for task in items:
            branch = self.artifact(f"{task['name']}-branch")
            evaluations.append(self.artifact(f"{task['name']}-evaluation"))
            self.call("finetuning", task=task, registered=registered, branch=branch)
            self.call("evaluation", task=task, branch=branch, evaluation=evaluations[-1])
        given = {"settings": plan["promotion"], "registered": registered, "evaluations": evaluations}
        self.call("promotion", **given)
        status = SimpleNamespace(state="SUCCEEDED", error_message="")
        self.call("closing", **self.common, status=status)
        return json.loads((self.folder.parent / "store" / "runs" / self.name / "exit.json").read_text())


@pytest.mark.parametrize("preset", PRESETS)
def test_own_data_need_no_field_of_the_presets(preset, tmp_path):
    """SOURCE=: a folder of files, whose records hold what each role is called and nothing else."""
    given = parameters.read(local_run.parser().parse_args(["--preset", preset, "--source", str(tmp_path)]))
    ingestion = resolve(preset, given["overrides"]).stages["ingestion"]
    fields = modalities.load(settings.load(preset)["modality"]).FIELDS
    assert not ingestion["group"] and {role: ingestion[role] for role in fields} == fields


# of several that share all but an objective or a task, `make test` runs one, `make e2e` the others
ALIKE = {"decide", "decide-image", "text-clm", "text-electra", "text-generate", "text-mlm", "text-tsdae"}


@pytest.mark.parametrize(
    "preset", [pytest.param(one, marks=pytest.mark.long) if one in ALIKE else one for one in PRESETS]
)
def test_a_preset_runs_whole(preset, place, sqlite_uri, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_LOCAL", "processes")
    (place / "data").mkdir(exist_ok=True)
    run = Run(place, sqlite_uri, preset)
    record = run.whole(small(preset, place / "data"))
    assert record["status"] == "succeeded" and record["failure"] is None
    wanted = [task["name"] for task in settings.load(preset).get("tasks", [])]
    assert [result["task"] for result in record["results"]] == wanted
    trunk = json.loads((run.folder / "trunk").read_text())
    pictures = [file["name"] for file in trunk["files"] if file["name"].startswith("pictures/")]
    assert "notices" not in trunk["measured"]
    assert bool(pictures) == (trunk["facts"]["modality"] != "text")


OBJECTIVES = {
    "byol": {},
    "rotation": {},
    "denoising": {},
    "adversarial": {},
    "masked_image": {"pretraining.trunk": {"architecture": "vit"}},
    "autoencoder": {"pretraining.trunk": {"architecture": "mlp"}},
    "colorization": {"ingestion.format": "auto", "tasks": []},  # on pictures in colour
}


@pytest.mark.parametrize(
    "objective",
    ["rotation", *(pytest.param(one, marks=pytest.mark.long) for one in OBJECTIVES if one != "rotation")],
)
def test_another_objective_on_images_is_a_setting(objective, place, sqlite_uri, monkeypatch):
    """The README's row: SET='pretraining.objective={rotation: {}}'."""
    monkeypatch.setenv("TRUNKLINE_LOCAL", "processes")
    (place / "data").mkdir(exist_ok=True)
    run = Run(place, sqlite_uri, "image-simclr", f"image-{objective}")
    overrides = small("image-simclr", place / "data")
    if objective == "colorization":
        overrides = {name: value for name, value in overrides.items() if not name.startswith("tasks.")}
        overrides["ingestion.sources"] = [local("pictures/*.png", place / "data")]
    overrides |= OBJECTIVES[objective]
    record = run.whole({**overrides, "pretraining.objective": {objective: {}}})
    assert record["status"] == "succeeded"


@pytest.mark.parametrize("preset", GPUS)
def test_the_trunk_and_objective_of_a_preset_for_gpus_are_built_without_values(preset):
    config = from_dict(Config, resolve(preset, {}).stages["pretraining"], "pretraining")
    dials = dict(config.trunk)
    samples = made.open_samples(config.modality, dials.pop("architecture"), **dials)
    with torch.device("meta"):
        trunk = samples.trunk()
        model = build(config, trunk)
    assert {tensor.device.type for tensor in (*model.parameters(), *model.buffers())} == {"meta"}
    assert sum(parameter.numel() for parameter in trunk.parameters()) > 8e7
    assert config.nproc == 8 and config.global_batch % (config.nproc * config.micro_batch) == 0


@pytest.mark.long
@pytest.mark.parametrize("preset", ["image-simclr", "text-mlm"])
def test_a_preset_runs_by_its_command(preset, tmp_path):
    (tmp_path / "data").mkdir()
    words = [f"{key}={json.dumps(value)}" for key, value in small(preset, tmp_path / "data").items()]
    command = [
        sys.executable,
        "-m",
        "pipelines.local",
        "--pipeline",
        "training",
        "--preset",
        preset,
        "--store",
        str(tmp_path / "store"),
        "--tracking-uri",
        f"sqlite:///{tmp_path / 'mlflow.db'}",
        *(word for setting in words for word in ("--set", setting)),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
