"""The matrix of wrong settings: each gives one clear error before any work starts."""

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

# override, what the error says or recommends, where it is if not at the override
BAD = [
    ({"pretrainng.steps": 1}, "did you mean 'pretraining'", "pretrainng"),
    ({"pretraining.learning_ratee": 1e-3}, "did you mean 'learning_rate'"),
    ({"pretraining.learning_rate": float("nan")}, "out of range"),
    ({"pretraining.learning_rate": "fast"}, "float"),
    ({"pretraining.global_batch": -4}, ">= 2"),
    ({"pretraining.steps": 0}, "name `start`, or more steps"),
    ({"pretraining.steps": -1}, ">= 0"),
    ({"pretraining.steps": 1.5}, "int"),
    ({"pretraining.warmup": 2.0}, "<= 1"),
    ({"pretraining": 3}, "a section"),
    ({"pretraining.nproc": 3}, "a multiple of nproc = 3", "pretraining.global_batch"),
    ({"pretraining.global_batch": 1}, ">= 2"),
    ({"pretraining.precision": "fp64"}, "bf16"),
    ({"pretraining.learning_rate": True}, "float"),
    ({"pretraining.learning_rate": float("inf")}, "out of range"),
    ({"pretraining.steps": None}, "int"),
    ({"pretraining.steps": ""}, "int"),
    ({"pretraining.steps": float("nan")}, "int"),
    ({"pretraining.micro_batch": 8}, "0 for contrastive"),
    ({"pretraining.modality": "smell"}, "known: "),
    ({"pretraining.trunk.size": "huge"}, "tiny"),
    ({"pretraining.trunk.sise": "tiny"}, "did you mean 'size'"),
    ({"pretraining.trunk.sequence_length": 0}, ">= 8"),
    ({"pretraining.objective": {}}, "no objective"),
    ({"pretraining.objective": {"mask_lm": {}}}, "did you mean 'masked_lm'", "pretraining.objective.mask_lm"),
    ({"pretraining.objective": {"causal_lm": {}}}, "gpt2 or llama", "pretraining.objective.causal_lm"),
    ({"pretraining.objective": {"masked_image": {}}}, "modality image", "pretraining.objective.masked_image"),
    ({"pretraining.objective.contrastive.temperatur": 1}, "temperature"),
    ({"pretraining.objective.contrastive.temperature": 0}, ">= 0.001"),
    ({"pretraining.objective.contrastive.weight": 0}, "above 0"),
    ({"pretraining.objective.contrastive": 5}, "mapping"),
    ({"ingestion.sources": []}, "at least one"),
    ({"evaluation.compress": ["int9"]}, "did you mean 'int8'"),
    ({"evaluation.compress_options": {"int8": {}}}, "name it", "evaluation.compress_options.int8"),
    ({"promotion.variant_margin": -0.1}, ">= 0"),
    ({"ingestion.timeout": 0}, ">= 1"),
    ({"ingestion.memory": 1 << 20}, ">= 2147483648"),
    ({"ingestion.memory": "4 GB"}, "int"),
    ({"ingestion.sources": "folder"}, "a list"),
    ({"ingestion.sources": ["gopher://x/y"]}, "s3", "ingestion.sources[0]"),
    ({"ingestion.sources": ["http://x/y"]}, "https", "ingestion.sources[0]"),
    ({"ingestion.sources": ["hf:a/b?name=en"]}, "config", "ingestion.sources[0]"),
    ({"ingestion.sources": ["pypi:a/b"]}, "sha256", "ingestion.sources[0]"),
    ({"ingestion.sources": ["s3:///x"]}, "s3://bucket", "ingestion.sources[0]"),
    ({"ingestion.filters": {"lenght": {}}}, "did you mean 'length'", "ingestion.filters.lenght"),
    ({"ingestion.format": "doc"}, "jsonl"),
    ({"ingestion.validation": 0.9}, "<= 0.5"),
    ({"tokenization.kind": "bytes"}, "wordpiece"),
    ({"tokenization.kind": "given"}, "tokenizer.json", "tokenization.tokenizer"),
    ({"tokenization.vocabulary_size": 0}, ">= 300"),
    ({"tokenization.vocabulary_size": 1e9}, "<= 1000000"),
    ({"tokenization.vocabulary_size": 1000.5}, "wrong type"),
    ({"tokenization.vocab_size": 1000}, "did you mean 'vocabulary_size'"),
    ({"tokenization.tokenizer": "a.json"}, "one is to be trained"),
    (
        {"tokenization": {"kind": "given", "tokenizer": "a", "lowercase": True}},
        "lower-case",
        "tokenization.lowercase",
    ),
    ({"tokenization.unknown": 2}, "<= 1"),
    ({"registration.name": "a/b"}, "no / :"),
    ({"registration.name": ""}, "no / :"),
    ({"registration.nme": "x"}, "did you mean 'name'"),
    ({"promotion.rules": {"flors": {}}}, "did you mean 'floors'", "promotion.rules.flors"),
    ({"tasks": 3}, "a list of tasks"),
    ({"tasks": [3]}, "mapping", "tasks[0]"),
    ({"tasks": [{"kind": "x"}]}, "a name of its own", "tasks[0]"),
    ({"tasks": [{"name": "Bad Name"}]}, "lower-case", "tasks[0]"),
    ({f"{TASK}.trian": {}}, "did you mean 'train'"),
    ({f"{TASK}.kind": "sequence_clasification"}, "did you mean 'sequence_classification'"),
    ({f"{TASK}.train": {}}, "required", f"{TASK}.finetuning.train.source"),
    ({f"{TASK}.train.source": "ftp://x"}, "not supported"),
    ({f"{TASK}.finetuning.seeds": [1, 1]}, "repeats", "finetuning.seeds"),
    ({f"{TASK}.finetuning.seeds": [-1]}, ">= 0"),
    ({f"{TASK}.finetuning.label_counts": []}, "empty", "finetuning.label_counts"),
    ({f"{TASK}.finetuning.label_counts": [0]}, ">= "),
    ({f"{TASK}.finetuning.starts": ["random"]}, "trunk", "finetuning.starts"),
    ({f"{TASK}.finetuning.starts": ["nowhere"]}, "random"),
    ({f"{TASK}.finetuning.steps": 0}, ">= 1"),
    ({f"{TASK}.kind": "image_classification"}, "image", f"{TASK}.finetuning"),
    ({f"{TASK}.finetuning.max_length": 4096}, "<= 512"),
    ({f"{TASK}.finetuning": {"mode": "partial", "layers": 9}}, "<= 1", f"{TASK}.finetuning.layers"),
    (
        {f"{TASK}.kind": "token_classification", f"{TASK}.finetuning": {"mode": "knn"}},
        "offers vote",
        f"{TASK}.finetuning.mode",
    ),
    ({"finetuning.stepz": 1}, "did you mean 'steps'", f"{TASK}.finetuning.stepz"),
    ({f"{TASK}.evaluation.confidence": 2}, "<= 0.999"),
]


@pytest.mark.parametrize("row", BAD, ids=[next(iter(row[0])) for row in BAD])
def test_wrong_setting_is_named(row):
    overrides, words, where = (*row, next(iter(row[0])))[:3]
    with pytest.raises(ConfigErrors) as caught:
        resolve("smoke", overrides)
    matching = [error for error in caught.value.errors if error.where == where and words in str(error)]
    assert matching, str(caught.value)
    assert caught.value.exit_code == 78 and caught.value.family == "user" and not caught.value.retriable


def test_everything_wrong_is_reported_at_once():
    """One value wrong in each section, and a contradiction: seven errors in one report."""
    wrong = {"ingestion.validation": 2, "tokenization.kind": "x", "pretraining.stepz": 1, "extra": 1}
    wrong |= {"pretraining.objective": {"causal_lm": {}}, "registration.alias": "", f"{TASK}.kind": "y"}
    with pytest.raises(ConfigErrors) as caught:
        resolve("smoke", wrong)
    places = {error.where for error in caught.value.errors}
    assert places == {*wrong} - {"pretraining.objective"} | {"pretraining.objective.causal_lm"}
    assert len(caught.value.to_dict()["errors"]) == len(caught.value.errors) == 7


@pytest.mark.parametrize("preset", ["", "nothing", "../x"])
def test_wrong_preset(preset):
    with pytest.raises(TrunklineError, match="no such preset"):
        resolve(preset, {})


STAGES = ("ingestion", "tokenization", "pretraining", "registration", "promotion")


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
