"""The one server of every model: MLflow's pyfunc, for trunks and branches of all modalities.

`mlflow_model` copies this file, the reader of the modality, the task and what they import into the model, as
a package of a name of its own: what scored a branch is what serves it, and where it is served nothing of this
project needs to be installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel

from components.lib import compressions
from components.lib.core import plugins
from components.lib.core.errors import DataError

BATCH = 8  # inputs that are computed at once: long recordings take 50 MB each


class Server(PythonModel):  # type: ignore[misc]
    """Answers of a branch by its task; of a bare trunk, a vector an input.

    Attributes of the model's configuration:
        modality: module of the modality.
        task: module of the task, or "" for a trunk.
        compression: module of the compression, if it is a variant.
        inputs: roles of the task that are inputs, in the order of the columns.
    """

    def load_context(self, context: Any) -> None:
        """Loads the weights; called once."""
        import torch

        options, folder = context.model_config, Path(context.artifacts["model"])
        self.inputs: list[str] = list(options["inputs"])
        modality = str(options["modality"])
        plugins.add("components.lib.modalities", modality.rpartition(".")[2], modality)
        self.reader = importlib.import_module(f"{modality}.labelled").Reader.open(folder)
        self.task = importlib.import_module(options["task"]) if options["task"] else None
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self.task is None:
            from components.lib.models.branch import load_trunk

            self.model = load_trunk(folder).to(device)
        else:
            if compression := options.get("compression"):
                plugins.add("components.lib.compressions", compression.rpartition(".")[2], compression)
            self.model = compressions.load(self.task, folder).to(device)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> Any:
        """One answer a row.

        Args:
            context: of `load_context`.
            model_input: a table with a column for each input, or a list of values where there is but one.
            params: those that the task names in PARAMS, such as how a text is sampled.

        Returns:
            A list of dicts, or (n, width) float64 of a trunk.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE, which a server answers with 400, for an unusable input.
        """
        import numpy as np

        try:
            known = self._known(params or {})
            parts = list(self._parts(self._columns(model_input), known))
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return np.concatenate(parts) if self.task is None else [row for part in parts for row in part]

    def _columns(self, given: Any) -> dict[str, list[Any]]:
        """Role -> inputs; raises DataError that names the first one which is none."""
        if hasattr(given, "columns"):
            names = list(given.columns) if len(self.inputs) == 1 else self.inputs
            found = {role: name for role, name in zip(self.inputs, names, strict=False) if name in given}
            columns = {role: given[name].tolist() for role, name in found.items()}
        else:
            columns = {self.inputs[0]: given.tolist() if hasattr(given, "tolist") else list(given)}
        if len(self.inputs) > 1 and all(len(one) == 1 and _is_list(one[0]) for one in columns.values()):
            columns = {role: list(one[0]) for role, one in columns.items()}  # of columns mlflow makes a row
        if len({len(one) for one in columns.values()}) > 1:
            raise DataError("columns have different lengths", found={r: len(v) for r, v in columns.items()})
        if not columns or not all(columns.values()):
            raise DataError("there are no inputs", expected=f"one {' and '.join(self.inputs)} or more")
        for role, values in columns.items():
            for place, value in enumerate(values):
                with _located(place):
                    (values[place],) = self.reader.served([value], role)
        return columns

    def _known(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters within their bounds; raises DataError for others."""
        declared = getattr(self.task, "PARAMS", {})
        found = {name: value for name, value in params.items() if name in declared and value is not None}
        for name, value in found.items():
            _, low, high = declared[name]
            if not low <= value <= high:
                raise DataError(
                    "a parameter is out of bounds", found=value, expected=f"{name}: {low} to {high}"
                )
        return found

    def _parts(self, inputs: Mapping[str, list[Any]], params: Mapping[str, Any]) -> Iterator[Any]:
        """Answers of bounded batches; raises DataError that names the first input which has none."""
        count = len(next(iter(inputs.values())))
        for at in range(0, count, BATCH):
            part = {role: values[at : at + BATCH] for role, values in inputs.items()}
            try:
                yield self._answer(part, params)
            except DataError:
                for place in range(at, min(count, at + BATCH)):
                    with _located(place):
                        self._answer({role: [values[place]] for role, values in inputs.items()}, params)
                raise

    def _answer(self, part: Mapping[str, list[Any]], params: Mapping[str, Any]) -> Any:
        import torch

        from components.lib.engine.transfer import moved
        from components.lib.models.branch import pooled

        if self.task is not None:
            return self.task.answer(self.model, self.reader, part, **params)
        with torch.no_grad():
            given = self.reader.tensors(part if len(self.inputs) > 1 else next(iter(part.values())))
            there = moved(given, next(self.model.parameters()).device)
            return pooled(self.model, there).double().cpu().numpy()


def _is_list(value: Any) -> bool:
    return isinstance(value, list) or getattr(value, "ndim", 0) == 1


@contextmanager
def _located(place: int) -> Iterator[None]:
    try:
        yield
    except DataError as error:
        error.where = f"input {place + 1}"
        raise
