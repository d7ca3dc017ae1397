"""A Hugging Face model folder as an MLflow model: what `mlflow.transformers` and pyfunc load.

The folder is written here and not by `mlflow.transformers.save_model`, which imports torch, loads the
weights, asks the Hugging Face hub for a card, pins torchvision for a text model, and (mlflow 3.17) fails on
a local folder with transformers 5.23. The test loads what is written here with mlflow's own loaders.
"""

from __future__ import annotations

import ast
import base64
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import DataError
from components.lib.storage.artifacts import canonical, sha256

FILES = "files.json"  # name -> SHA-256 of every file under model/, itself pinned by a tag
PARTS = {
    "tokenizer": (
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "merges.txt",
    ),
    "image_processor": ("preprocessor_config.json",),
}
PACKAGE = "trunkline"  # what our code is called inside a model
OWN = "small_"  # how types of models begin that `transformers` does not know


@dataclass(frozen=True)
class Use:
    """What a model is for: the literal USE of a task's file or, for a trunk, of its modality's.

    Attributes:
        kind: the task's file, or "trunk".
        task, pipeline: in the terms of `transformers`.
        inputs: "text" or "image".
        outputs: (name, MLflow type); empty: a vector of doubles.
    """

    kind: str
    task: str
    pipeline: str
    inputs: str = "text"
    outputs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, kind: str, modality: str = "text") -> Use:
        """The use of a task's kind, or of a "trunk"; reads the file, imports nothing."""
        package, name = ("modalities", modality) if kind == "trunk" else ("tasks", kind)
        return cls(kind, **plugins.declared(f"components.lib.{package}", name).constants["USE"])


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
    _weights(model, digests, target)
    (target / "README.md").write_text(readme, encoding="utf-8")
    _environment(target, _requirements(config, use))
    _example(target, use)
    if use.inputs == "image":
        _code(target / "code", ["registry.serving", *_tasks("image")])
    _mlmodel(target, _flavors(config, use, "tokenizer.json" in digests), use, model_id, run_id)
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


def _requirements(config: Mapping[str, Any], use: Use) -> list[str]:
    """What a loader installs; given, because mlflow's guess asks for torchvision."""
    import mlflow

    transformers = config.get("transformers_version", "")
    pin = f"transformers=={transformers}" if transformers else "transformers>=5.3"
    pictures = ["pillow>=12,<14"] if use.inputs == "image" else []
    return [f"mlflow=={mlflow.__version__}", pin, "torch>=2.10", "safetensors", *pictures]


def _tasks(modality: str) -> list[str]:
    """All tasks on a modality, as modules: one process then serves branches of several."""
    package = "components.lib.tasks"
    names = plugins.names(package)
    return [f"tasks.{n}" for n in names if modality in plugins.declared(package, n).constants["MODALITIES"]]


def _code(target: Path, waiting: list[str]) -> None:
    """Modules, as a package of its own name: a user's code may hold another `components`."""
    root, seen = Path(__file__).parents[1], set(waiting)
    while waiting:
        name = waiting.pop()
        path = root.joinpath(*name.split(".")).with_suffix(".py")
        text = path.read_text(encoding="utf-8")
        copy = target / PACKAGE / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        for folder in copy.parents:
            if folder == target:
                break
            (folder / "__init__.py").touch()
        copy.write_text(text.replace("components.lib", PACKAGE), encoding="utf-8")
        found = {name for name in _imported(text) if (root / f"{name.replace('.', '/')}.py").is_file()} - seen
        waiting += sorted(found)
        seen |= found


def _imported(text: str) -> Iterator[str]:
    """Modules of `components.lib` that a file imports, wherever it does, without that prefix."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("components.lib"):
            module = (node.module or "").removeprefix("components.lib").removeprefix(".")
            yield module
            yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)


def _flavors(config: Mapping[str, Any], use: Use, tokenizer: bool) -> dict[str, dict[str, Any]]:
    """MLflow's flavours; pipelines of `transformers` know its own networks alone, and colours alone."""
    env = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    python = {"loader_module": "mlflow.transformers", "python_version": "3.11", "env": env}
    pipeline = {"transformers": _flavor(config, use, tokenizer)}
    if use.inputs != "image":
        return {**pipeline, "python_function": python}
    python |= {"loader_module": f"{PACKAGE}.registry.serving", "code": "code", "data": "model"}
    python["config"] = {"kind": use.kind}
    known = not str(config.get("model_type", "")).startswith(OWN) and config.get("num_channels", 3) == 3
    return {**(pipeline if known and use.pipeline else {}), "python_function": python}


def _flavor(config: Mapping[str, Any], use: Use, tokenizer: bool) -> dict[str, Any]:
    flavor = {
        "task": use.task,
        "instance_type": use.pipeline,
        "pipeline_model_type": config["architectures"][0],
        "source_model_name": str(config.get("model_type", "")),
        "model_binary": "model",
        "transformers_version": config.get("transformers_version", ""),
        "code": None,
        "components": ["tokenizer"] if tokenizer else ["image_processor"] if use.inputs == "image" else [],
    }
    if use.inputs == "image":
        return {**flavor, "image_processor_type": "ViTImageProcessor"}
    return {**flavor, "tokenizer_type": "PreTrainedTokenizerFast"} if tokenizer else flavor


def _mlmodel(target: Path, flavors: dict[str, dict[str, Any]], use: Use, model_id: str, run_id: str) -> None:
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
    for name, flavor in flavors.items():
        model.add_flavor(name, **flavor)
    model.save(str(target / "MLmodel"))


def _environment(target: Path, requirements: list[str]) -> None:
    lines = "".join(f"{line}\n" for line in requirements)
    (target / "requirements.txt").write_text(lines, encoding="utf-8")
    environment = 'python: "3.11"\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n'
    (target / "python_env.yaml").write_text(environment, encoding="utf-8")
    pip = "".join(f"  - {json.dumps(line)}\n" for line in requirements)
    conda = f"name: trunkline\nchannels:\n- conda-forge\ndependencies:\n- python=3.11\n- pip\n- pip:\n{pip}"
    (target / "conda.yaml").write_text(conda, encoding="utf-8")


def _example(target: Path, use: Use) -> None:
    value = _picture() if use.inputs == "image" else "The trunk carries the branches."
    (target / "input_example.json").write_text(json.dumps([value]), encoding="utf-8")
    (target / "serving_input_example.json").write_text(json.dumps({"inputs": [value]}), encoding="utf-8")


def _picture() -> str:
    """A small picture as a PNG file in base64."""
    import numpy as np

    from components.lib.pages.pictures import png

    return base64.b64encode(png(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))).decode()


def _weights(model: Path, digests: Mapping[str, str], target: Path) -> None:
    """Links to the files, and to those of them that make a part of a pipeline."""
    for name in sorted(digests):
        _link(model / name, target / "model" / name)
    for part, names in PARTS.items():
        for name in (name for name in names if name in digests):
            _link(model / name, target / "components" / part / name)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(source.resolve(), target)
