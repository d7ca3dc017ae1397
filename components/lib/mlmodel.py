"""A Hugging Face model folder as an MLflow model: what `mlflow.transformers` and pyfunc load.

The folder is written here and not by `mlflow.transformers.save_model`, which imports torch, loads the
weights, asks the Hugging Face hub for a card, pins torchvision for a text model, and (mlflow 3.17) fails on
a local folder with transformers 5.23. The test loads what is written here with mlflow's own loaders.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.artifacts import canonical, sha256
from components.lib.errors import DataError

FILES = "files.json"  # name -> SHA-256 of every file under model/, itself pinned by a tag
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "merges.txt")
EXAMPLE = "The trunk carries the branches."


@dataclass(frozen=True)
class Use:
    """What a model is for, in the terms of transformers' pipelines."""

    task: str
    pipeline: str
    outputs: tuple[tuple[str, str], ...] = ()  # (name, MLflow type); empty: a vector of doubles


USES = {
    "trunk": Use("feature-extraction", "FeatureExtractionPipeline"),
    "sequence_classification": Use(
        "text-classification", "TextClassificationPipeline", (("label", "string"), ("score", "double"))
    ),
    "token_classification": Use("token-classification", "TokenClassificationPipeline", (("", "string"),)),
}


def write(
    model: Path,
    digests: Mapping[str, str],
    target: Path,
    *,
    use: Use,
    model_id: str,
    run_id: str,
    readme: str,
) -> str:
    """Writes the MLflow model to `target`, with links to the weights in `model`.

    Args:
        model: folder with config.json, model.safetensors and the tokenizer's files.
        digests: file name in `model` -> SHA-256, as the store committed it.
        target: an empty folder.
        use: the pipeline that serves the model.
        model_id: the LoggedModel that it becomes.
        run_id: the run that logs it.
        readme: the model card, in the Hugging Face hub's form.

    Returns:
        The SHA-256 of `files.json`, which pins every file under `model/`.

    Raises:
        DataError: if config.json does not name the architecture.
    """
    config = _config(model / "config.json")
    for name in sorted(digests):
        _link(model / name, target / "model" / name)
    for name in (name for name in TOKENIZER if name in digests):
        _link(model / name, target / "components" / "tokenizer" / name)
    (target / "README.md").write_text(readme, encoding="utf-8")
    _environment(target, _requirements(config))
    _example(target)
    _mlmodel(target, _flavor(config, use, "tokenizer.json" in digests), use, model_id, run_id)
    files = {f"model/{name}": digest for name, digest in digests.items()}
    listing = canonical(files)
    (target / FILES).write_bytes(listing)
    return sha256(listing)


def _config(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not config.get("architectures"):
        expected = "a config.json that names the architecture, as save_pretrained writes it"
        raise DataError("not a Hugging Face model", where=str(path), expected=expected)
    return config


def _requirements(config: Mapping[str, Any]) -> list[str]:
    """What a loader installs; given, because mlflow's guess asks for torchvision."""
    import mlflow

    transformers = config.get("transformers_version", "")
    pin = f"transformers=={transformers}" if transformers else "transformers>=5.3"
    return [f"mlflow=={mlflow.__version__}", pin, "torch>=2.10", "safetensors"]


def _flavor(config: Mapping[str, Any], use: Use, tokenizer: bool) -> dict[str, Any]:
    flavor = {
        "task": use.task,
        "instance_type": use.pipeline,
        "pipeline_model_type": config["architectures"][0],
        "source_model_name": str(config.get("model_type", "")),
        "model_binary": "model",
        "transformers_version": config.get("transformers_version", ""),
        "code": None,
        "components": ["tokenizer"] if tokenizer else [],
    }
    return {**flavor, "tokenizer_type": "PreTrainedTokenizerFast"} if tokenizer else flavor


def _mlmodel(target: Path, flavor: dict[str, Any], use: Use, model_id: str, run_id: str) -> None:
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec
    from numpy import dtype

    vector = TensorSpec(dtype("float64"), (-1,), "double")
    outputs = [ColSpec(kind, name or None) for name, kind in use.outputs] or [vector]
    signature = ModelSignature(inputs=Schema([ColSpec("string")]), outputs=Schema(outputs))
    example = {"artifact_path": "input_example.json", "serving_input_path": "serving_input_example.json"}
    model = Model(
        run_id=run_id,
        model_id=model_id,
        signature=signature,
        saved_input_example_info={**example, "type": "json_object"},
    )
    model.add_flavor("transformers", **flavor)
    env = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    model.add_flavor("python_function", loader_module="mlflow.transformers", python_version="3.11", env=env)
    model.save(str(target / "MLmodel"))


def _environment(target: Path, requirements: list[str]) -> None:
    lines = "".join(f"{line}\n" for line in requirements)
    (target / "requirements.txt").write_text(lines, encoding="utf-8")
    environment = 'python: "3.11"\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n'
    (target / "python_env.yaml").write_text(environment, encoding="utf-8")
    pip = "".join(f"  - {json.dumps(line)}\n" for line in requirements)
    conda = f"name: trunkline\nchannels:\n- conda-forge\ndependencies:\n- python=3.11\n- pip\n- pip:\n{pip}"
    (target / "conda.yaml").write_text(conda, encoding="utf-8")


def _example(target: Path) -> None:
    (target / "input_example.json").write_text(json.dumps([EXAMPLE]), encoding="utf-8")
    (target / "serving_input_example.json").write_text(json.dumps({"inputs": [EXAMPLE]}), encoding="utf-8")


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(source.resolve(), target)
