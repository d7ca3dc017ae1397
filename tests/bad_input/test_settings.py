"""The matrix of wrong settings: each gives one clear error before any work starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.lib.core.errors import ConfigErrors, TrunklineError
from components.lib.storage.store import Store
from components.preflight.config import Config
from components.preflight.plan import resolve
from components.preflight.run import run

TASK = "tasks.topics"

# override, where the error is, what it says or recommends
BAD = [
    ({"pretrainng.steps": 1}, "pretrainng", "did you mean 'pretraining'"),
    ({"pretraining.learning_ratee": 1e-3}, "pretraining.learning_ratee", "did you mean 'learning_rate'"),
    ({"pretraining.learning_rate": float("nan")}, "pretraining.learning_rate", "out of range"),
    ({"pretraining.learning_rate": "fast"}, "pretraining.learning_rate", "float"),
    ({"pretraining.global_batch": -4}, "pretraining.global_batch", ">= 2"),
    ({"pretraining.steps": 0}, "pretraining.steps", ">= 1"),
    ({"pretraining.steps": 1.5}, "pretraining.steps", "int"),
    ({"pretraining.warmup": 2.0}, "pretraining.warmup", "<= 1"),
    ({"pretraining": 3}, "pretraining", "a section"),
    ({"pretraining.nproc": 3}, "pretraining.global_batch", "a multiple of nproc = 3"),
    ({"pretraining.global_batch": 1}, "pretraining.global_batch", ">= 2"),
    ({"pretraining.precision": "fp64"}, "pretraining.precision", "bf16"),
    ({"pretraining.learning_rate": True}, "pretraining.learning_rate", "float"),
    ({"pretraining.learning_rate": float("inf")}, "pretraining.learning_rate", "out of range"),
    ({"pretraining.steps": None}, "pretraining.steps", "int"),
    ({"pretraining.steps": ""}, "pretraining.steps", "int"),
    ({"pretraining.steps": float("nan")}, "pretraining.steps", "int"),
    ({"pretraining.micro_batch": 8}, "pretraining.micro_batch", "0 for contrastive"),
    ({"pretraining.modality": "smell"}, "pretraining.modality", "known: "),
    ({"pretraining.trunk.size": "huge"}, "pretraining.trunk.size", "tiny"),
    ({"pretraining.trunk.sise": "tiny"}, "pretraining.trunk.sise", "did you mean 'size'"),
    ({"pretraining.trunk.sequence_length": 0}, "pretraining.trunk.sequence_length", ">= 8"),
    ({"pretraining.objective": {}}, "pretraining.objective", "no objective"),
    ({"pretraining.objective": {"mask_lm": {}}}, "pretraining.objective.mask_lm", "did you mean 'masked_lm'"),
    ({"pretraining.objective": {"causal_lm": {}}}, "pretraining.objective.causal_lm", "gpt2 or llama"),
    ({"pretraining.objective": {"masked_image": {}}}, "pretraining.objective.masked_image", "modality image"),
    (
        {"pretraining.objective.contrastive.temperatur": 1},
        "pretraining.objective.contrastive.temperatur",
        "temperature",
    ),
    (
        {"pretraining.objective.contrastive.temperature": 0},
        "pretraining.objective.contrastive.temperature",
        ">= 0.001",
    ),
    ({"pretraining.objective.contrastive.weight": 0}, "pretraining.objective.contrastive.weight", "above 0"),
    ({"pretraining.objective.contrastive": 5}, "pretraining.objective.contrastive", "mapping"),
    ({"ingestion.sources": []}, "ingestion.sources", "at least one"),
    ({"ingestion.timeout": 0}, "ingestion.timeout", ">= 1"),
    ({"ingestion.memory": 1 << 20}, "ingestion.memory", ">= 2147483648"),
    ({"ingestion.memory": "4 GB"}, "ingestion.memory", "int"),
    ({"ingestion.sources": "folder"}, "ingestion.sources", "a list"),
    ({"ingestion.sources": ["gopher://x/y"]}, "ingestion.sources[0]", "s3"),
    ({"ingestion.sources": ["http://x/y"]}, "ingestion.sources[0]", "https"),
    ({"ingestion.sources": ["hf:a/b?name=en"]}, "ingestion.sources[0]", "config"),
    ({"ingestion.sources": ["pypi:a/b"]}, "ingestion.sources[0]", "sha256"),
    ({"ingestion.sources": ["s3:///x"]}, "ingestion.sources[0]", "s3://bucket"),
    ({"ingestion.filters": {"lenght": {}}}, "ingestion.filters.lenght", "did you mean 'length'"),
    ({"ingestion.format": "doc"}, "ingestion.format", "jsonl"),
    ({"ingestion.validation": 0.9}, "ingestion.validation", "<= 0.5"),
    ({"tokenization.kind": "bytes"}, "tokenization.kind", "wordpiece"),
    ({"tokenization.kind": "given"}, "tokenization.tokenizer", "tokenizer.json"),
    ({"tokenization.vocabulary_size": 0}, "tokenization.vocabulary_size", ">= 300"),
    ({"tokenization.vocabulary_size": 1e9}, "tokenization.vocabulary_size", "<= 1000000"),
    ({"tokenization.vocabulary_size": 1000.5}, "tokenization.vocabulary_size", "wrong type"),
    ({"tokenization.vocab_size": 1000}, "tokenization.vocab_size", "did you mean 'vocabulary_size'"),
    ({"tokenization.tokenizer": "a.json"}, "tokenization.tokenizer", "one is to be trained"),
    (
        {"tokenization": {"kind": "given", "tokenizer": "a", "lowercase": True}},
        "tokenization.lowercase",
        "lower-case",
    ),
    ({"tokenization.unknown": 2}, "tokenization.unknown", "<= 1"),
    ({"registration.name": "a/b"}, "registration.name", "no / :"),
    ({"registration.name": ""}, "registration.name", "no / :"),
    ({"registration.nme": "x"}, "registration.nme", "did you mean 'name'"),
    ({"promotion.rules": {"flors": {}}}, "promotion.rules.flors", "did you mean 'floors'"),
    ({"tasks": 3}, "tasks", "a list of tasks"),
    ({"tasks": [3]}, "tasks[0]", "mapping"),
    ({"tasks": [{"kind": "x"}]}, "tasks[0]", "a name of its own"),
    ({"tasks": [{"name": "Bad Name"}]}, "tasks[0]", "lower-case"),
    ({f"{TASK}.trian": {}}, f"{TASK}.trian", "did you mean 'train'"),
    ({f"{TASK}.kind": "sequence_clasification"}, f"{TASK}.kind", "did you mean 'sequence_classification'"),
    ({f"{TASK}.train": {}}, f"{TASK}.finetuning.train.source", "required"),
    ({f"{TASK}.train.source": "ftp://x"}, f"{TASK}.train.source", "not supported"),
    ({f"{TASK}.finetuning.seeds": [1, 1]}, "finetuning.seeds", "repeats"),
    ({f"{TASK}.finetuning.seeds": [-1]}, f"{TASK}.finetuning.seeds", ">= 0"),
    ({f"{TASK}.finetuning.label_counts": []}, "finetuning.label_counts", "empty"),
    ({f"{TASK}.finetuning.label_counts": [0]}, f"{TASK}.finetuning.label_counts", ">= "),
    ({f"{TASK}.finetuning.starts": ["random"]}, "finetuning.starts", "trunk"),
    ({f"{TASK}.finetuning.starts": ["nowhere"]}, f"{TASK}.finetuning.starts", "random"),
    ({f"{TASK}.finetuning.steps": 0}, f"{TASK}.finetuning.steps", ">= 1"),
    ({f"{TASK}.kind": "image_classification"}, f"{TASK}.finetuning", "image"),
    ({f"{TASK}.finetuning.max_length": 4096}, f"{TASK}.finetuning.max_length", "<= 512"),
    ({f"{TASK}.finetuning": {"mode": "partial", "layers": 9}}, f"{TASK}.finetuning.layers", "<= 1"),
    ({"finetuning.stepz": 1}, f"{TASK}.finetuning.stepz", "did you mean 'steps'"),
    ({f"{TASK}.evaluation.confidence": 2}, f"{TASK}.evaluation.confidence", "<= 0.999"),
]


@pytest.mark.parametrize(("overrides", "where", "words"), BAD, ids=[next(iter(case[0])) for case in BAD])
def test_wrong_setting_is_named(overrides, where, words):
    with pytest.raises(ConfigErrors) as caught:
        resolve("smoke", overrides)
    matching = [error for error in caught.value.errors if error.where == where and words in str(error)]
    assert matching, str(caught.value)
    assert caught.value.exit_code == 78 and caught.value.family == "user" and not caught.value.retriable


def test_everything_wrong_is_reported_at_once():
    """One value wrong in each section, and a contradiction: six errors in one report."""
    wrong = {
        "ingestion.validation": 2,
        "tokenization.kind": "x",
        "pretraining.stepz": 1,
        "pretraining.objective": {"causal_lm": {}},
        "registration.alias": "",
        f"{TASK}.kind": "y",
        "extra": 1,
    }
    with pytest.raises(ConfigErrors) as caught:
        resolve("smoke", wrong)
    places = {error.where for error in caught.value.errors}
    assert {
        "ingestion.validation",
        "tokenization.kind",
        "pretraining.stepz",
        "registration.alias",
        "extra",
    } <= places
    assert {"pretraining.objective.causal_lm", f"{TASK}.kind"} <= places
    assert len(caught.value.to_dict()["errors"]) == len(caught.value.errors) == 7


@pytest.mark.parametrize("preset", ["", "nothing", "../x"])
def test_wrong_preset(preset):
    with pytest.raises(TrunklineError, match="no such preset"):
        resolve(preset, {})


STAGES = ("ingestion", "tokenization", "pretraining", "registration", "promotion", "task_count")


def checked(folder: Path, **changes: Any) -> None:
    """Preflight as a stage."""
    tracking = f"sqlite:///{folder}/mlflow.db"
    given = {"preset": "smoke", "overrides": {}, "store": str(folder / "store"), "tracking_uri": tracking}
    run(Config(**{**given, **changes}, run_id="run-1"), *(folder / "out" / name for name in STAGES))


# what a run is started with, exit code, what is said; a store that is well notes it in the ledger
STARTED = [
    ({"store": ""}, 78, "TRUNKLINE_STORE"),
    ({"store": "gs://x"}, 78, "s3://"),
    ({"store": "s3://[::1"}, 78, "an address is malformed"),
    ({"store": "/dev/null/store"}, 73, "/dev/null"),
    ({"tracking_uri": ""}, 78, "MLFLOW_TRACKING_URI"),
    ({"tracking_uri": "mlflow:5000"}, 78, "did you mean http://mlflow:5000?"),
    ({"tracking_uri": "http://127.0.0.1:1"}, 69, "MLflow server does not answer"),
    ({"preset": "smok"}, 78, "did you mean 'smoke'"),
    ({"overrides": []}, 78, "a mapping of settings"),
    ({"overrides": {"x": 1, "y": 2}}, 78, "2 settings are wrong"),
    ({"overrides": {"pretraining.steps.more": 1}}, 78, "leads into a plain value"),
    ({"overrides": {"tasks.topic.kind": "x"}}, 78, "did you mean 'topics'"),
]


@pytest.mark.parametrize(("changes", "code", "what"), STARTED, ids=[json.dumps(row[0]) for row in STARTED])
def test_a_run_that_cannot_start(tmp_path, capsys, changes, code, what):
    with pytest.raises(SystemExit) as caught:
        checked(tmp_path, **changes)
    printed = capsys.readouterr().err
    assert caught.value.code == code and what in printed and "Traceback" not in printed
    assert not (tmp_path / "out").exists()
    if "store" not in changes:
        record = json.loads(Store(str(tmp_path / "store")).objects.read("runs/run-1/preflight.json"))
        assert record["error"]["exit_code"] == code
