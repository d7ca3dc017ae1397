"""An MLflow model of a trunk or a branch: `mlflow.pyfunc` by models from code, with all that it needs to run.

What is served is the code that scored: see `registry/serving.py`.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib import compressions, modalities
from components.lib.core import plugins
from components.lib.core.errors import DataError
from components.lib.registry.code_bundle import LIB, bundle
from components.lib.registry.examples import FILE as EXAMPLES
from components.lib.storage.artifacts import canonical, sha256
from components.lib.tasks import inputs_of

FILES = "files.json"  # name -> SHA-256 of every file of the weights, itself pinned by a tag
SERVER = """from mlflow.models import set_model

from {package}.registry.serving import Server

set_model(Server())
"""
TRUNK = "trunk"


@dataclass(frozen=True)
class Use:
    """What a model is for.

    Attributes:
        modality: of the trunk.
        task: the kind of task, or "" of a bare trunk.
        name: on the Hugging Face hub.
        inputs: roles that are inputs.
        outputs: (name, MLflow type); empty: a vector of doubles.
        optional: whether a client may leave some of the inputs out.
        params: (name, what is usual) of what a client may set.
    """

    modality: str
    task: str
    name: str
    inputs: list[str]
    outputs: tuple[tuple[str, str], ...] = ()
    optional: bool = False
    params: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, kind: str, modality: str) -> Use:
        """The use of a task's kind, or of a "trunk"; reads files, imports nothing heavy."""
        if kind == TRUNK:
            declared = modalities.load(modality)
            served = getattr(declared, "SERVED", ())
            roles = list(served or declared.FIELDS)[: len(served) or 1]
            return cls(modality, "", declared.USE, roles, optional=bool(served))
        says = plugins.declared("components.lib.tasks", kind).constants
        served = list(says.get("SERVED", ()))
        inputs = served or inputs_of(says["ROLES"])
        params = tuple((name, usual) for name, (usual, *_) in says.get("PARAMS", {}).items())
        return cls(modality, kind, says["USE"], inputs, says["OUTPUTS"], bool(served), params)


def write(
    model: Path,
    digests: Mapping[str, str],
    target: Path,
    *,
    use: Use,
    model_id: str,
    run_id: str,
    readme: str,
    examples: bytes = b"",
) -> str:
    """Writes the MLflow model to `target`.

    Args:
        model: folder with config.json, model.safetensors and the files of the reader.
        digests: file name in `model` -> SHA-256, as the store committed it.
        target: an empty folder.
        use: what serves the model.
        model_id: the LoggedModel that it becomes.
        run_id: the run that logs it.
        readme: the model card, in the Hugging Face hub's form.
        examples: questions with the answers of evaluation, see `registry.examples`; b"": none.

    Returns:
        The SHA-256 of `files.json`, which pins every file of the weights, and the examples.

    Raises:
        DataError: if config.json does not name the architecture.
    """
    config = _config(model / "config.json")
    with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
        place = Path(scratch)
        says = compressions.settings(model)
        package, names = _server(place, use, says.get("name", ""))
        needs, ids = _requirements(config, use), {"model_id": model_id, "run_id": run_id}
        needs += [f"{library}=={version}" for library, version in says.get("libraries", {}).items()]
        with _importable(place / "code", package), warnings.catch_warnings():
            _save(place, model, target, use, names, needs, **ids)
    (target / "README.md").write_text(readme, encoding="utf-8")
    return _pinned(target, {f"artifacts/{model.name}/{name}": digests[name] for name in digests}, examples)


def _pinned(target: Path, digests: dict[str, str], examples: bytes) -> str:
    """Writes the examples, if there are any, and `files.json`; returns its SHA-256."""
    if examples:
        (target / EXAMPLES).write_bytes(examples)
        digests[EXAMPLES] = sha256(examples)
    listing = canonical(digests)
    (target / FILES).write_bytes(listing)
    return sha256(listing)


def _server(place: Path, use: Use, compression: str) -> tuple[str, dict[str, str]]:
    """Writes the code that serves to `place`; returns its package, and what it is configured with."""
    modality = plugins.module("components.lib.modalities", use.modality)
    what = plugins.module("components.lib.tasks", use.task) if use.task else f"{modality}.trunk"
    wanted = [f"{LIB}.registry.serving", f"{LIB}.modalities", f"{modality}.labelled", modality, what]
    reading = plugins.module("components.lib.compressions", compression) if compression else ""
    copies = bundle(place / "code", [*wanted, *([reading] if reading else [])])
    (place / "server.py").write_text(SERVER.format(package=copies[LIB]), encoding="utf-8")
    names = {"modality": copies[modality], "task": copies[what] if use.task else ""}
    return copies[LIB], {**names, **({"compression": copies[reading]} if reading else {})}


def _save(
    place: Path,
    model: Path,
    target: Path,
    use: Use,
    names: dict[str, str],
    requirements: list[str],
    *,
    model_id: str,
    run_id: str,
) -> None:
    warnings.filterwarnings("ignore", ".*type hint is inferred", UserWarning)  # of its own classes
    warnings.filterwarnings("ignore", ".*input example was not provided", UserWarning)
    import mlflow.pyfunc
    from mlflow.models import Model
    from pandas import DataFrame, Index

    example = modalities.load(use.modality).EXAMPLE
    given: Any = [example]
    if len(use.inputs) > 1:  # mlflow 3.17 compares the names with a range, of which pandas 3 warns for texts
        given = DataFrame([[example] * len(use.inputs)], columns=Index(use.inputs, dtype=object))
    mlflow.pyfunc.save_model(
        str(target),
        python_model=str(place / "server.py"),
        artifacts={"model": str(model)},
        code_paths=[str(path) for path in sorted((place / "code").iterdir())],
        model_config={**names, "inputs": use.inputs},
        pip_requirements=requirements,
        signature=_signature(use),
        input_example=None if example is None or use.optional else given,
        mlflow_model=Model(run_id=run_id, model_id=model_id),
    )


def _signature(use: Use) -> Any:
    """A column for each input, which needs no name if it is the only one and no list; and the answers.

    In a column of strings MLflow would make text of whatever is sent, `null` too: it is declared as
    anything, and the server says what it cannot read.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import AnyType, Array
    from numpy import dtype

    declared: str = modalities.load(use.modality).INPUT
    plain = declared.removesuffix("[]")
    named = len(use.inputs) > 1 or plain != declared
    kind = Array(DataType[plain]) if plain != declared else AnyType() if plain == "string" else plain
    inputs = [ColSpec(kind, name if named else None, not use.optional) for name in use.inputs]
    vector = TensorSpec(dtype("float64"), (-1,), "double")
    answers = [ColSpec(kind, name) for name, kind in use.outputs] or [vector]
    kinds = {int: DataType.long, float: DataType.double}
    params = [ParamSpec(name, kinds[type(usual)], usual) for name, usual in use.params]
    return ModelSignature(Schema(inputs), Schema(answers), ParamSchema(params) if params else None)


@contextmanager
def _importable(code: Path, package: str) -> Iterator[None]:
    """MLflow imports the server once, to see that it can be."""
    sys.path.insert(0, str(code))
    try:
        yield
    finally:
        sys.path.remove(str(code))
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]


def _config(path: Path) -> dict[str, Any]:
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not config.get("architectures"):
        expected = "a config.json that names the architecture, as save_pretrained writes it"
        raise DataError("not a Hugging Face model", where=str(path), expected=expected)
    return config


def _requirements(config: Mapping[str, Any], use: Use) -> list[str]:
    """What a loader installs; given, because mlflow's guess asks for torchvision."""
    transformers = config.get("transformers_version", "")
    pin = f"transformers=={transformers}" if transformers else "transformers>=5.3"
    mlflow = f"mlflow=={importlib.metadata.version('mlflow')}"
    return [mlflow, pin, "torch>=2.10", "safetensors", *modalities.load(use.modality).LIBRARIES]
