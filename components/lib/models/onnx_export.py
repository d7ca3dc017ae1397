"""Writes the ONNX graph of a branch by torch's exporter, and holds it against the network.

How the task calls the network is recorded while it answers a few records, so that no task, and no network,
says anything of graphs.
"""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.lib.models.calls import Call, named, recorded
from components.lib.models.onnx_graph import GRAPH, PASS, OnnxGraph

MOST = 2_000_000_000  # bytes of a protobuf
CLOSE = 1e-3  # greatest difference of a graph from its network, of the size of its answers
SEEN = 8  # records that are answered to see the passes


class Pass(nn.Module):
    """A network whose arguments have places and whose answers are a tuple."""

    def __init__(self, model: nn.Module, call: Call) -> None:
        super().__init__()
        self.model, self.names, self.places = model, list(call.given), len(call.places)
        self.given = [name for name in self.names if call.given[name] is not None]

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The tensors of the answer."""
        given = dict(zip(self.given, tensors[self.places :], strict=True))
        return tuple(named(self.model(*tensors[: self.places], **given)).values())


def export(task: Any, model: nn.Module, samples: Any, names: list[str], folder: Path) -> str:
    """Writes the graph to a folder with config.json; or says why this cannot be.

    Args:
        task: whose `outcomes` call the model.
        model: on the CPU, in evaluation mode.
        samples: a few, as the task encodes them.
        names: classes.
    """
    calls = list(_passes(task, model, samples, names))
    if not calls or not all(call.simple for call in calls):
        return "its task calls parts of the network, not the whole of it with tensors alone"
    if sum(tensor.nbytes for tensor in model.state_dict().values()) > MOST:
        return "its graph would be larger than a file of ONNX may be, 2 GB"
    call, inputs = _widest(calls), list(calls[0].tensors)
    (folder / GRAPH).parent.mkdir(parents=True)
    told = {"inputs": inputs, "answers": list(named(call.answer))}
    (folder / PASS).write_text(json.dumps(told), encoding="utf-8")
    try:
        with _quiet():
            _write(Pass(model, call).eval(), call, _moving(calls), inputs, folder / GRAPH)
    except Exception as error:  # of an exporter, which raises whatever its many passes raise
        shutil.rmtree((folder / GRAPH).parent)
        return f"torch's exporter to ONNX fails on this network: {_cause(error)}"
    graph = OnnxGraph(folder)
    return _checked(graph, calls) or _unanswered(task, graph, samples, names)


def _cause(error: BaseException) -> str:
    """The first line of the error behind an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return (str(error).strip() or repr(error)).splitlines()[0][:200]


def _passes(task: Any, model: nn.Module, samples: Any, names: list[str]) -> Iterator[Call]:
    """The passes over batches of different size, and over each sample alone."""
    many = min(SEEN, len(samples))
    parts = [np.arange(many), *np.split(np.arange(many), many)]
    with torch.no_grad(), recorded(model) as calls:
        for part in parts:
            task.outcomes(model, samples.subset(part), names, many)
    yield from calls


def _widest(calls: list[Call]) -> Call:
    """The pass over the most numbers: none of its sides is 1, which an exporter takes for a constant."""
    return max(calls, key=lambda call: sum(tensor.numel() for tensor in call.tensors.values()))


def _moving(calls: list[Call]) -> dict[str, list[int]]:
    """Sides of each input that differ between passes: of whole numbers, which are tokens, all."""
    found = {}
    for name, tensor in calls[0].tensors.items():
        shapes = [call.tensors[name].shape for call in calls]
        whole = not tensor.is_floating_point()
        sides = range(tensor.ndim)
        found[name] = [side for side in sides if side == 0 or whole or len({s[side] for s in shapes}) > 1]
    return found


def _write(model: Pass, call: Call, moving: dict[str, list[int]], inputs: list[str], path: Path) -> None:
    sides = [{side: torch.export.Dim.DYNAMIC for side in moving[name]} for name in inputs]
    given = tuple(call.tensors[name] for name in inputs)
    answers = [f"answer_{at}" for at in range(len(named(call.answer)))]
    with torch.no_grad():
        program: Any = torch.onnx.export(
            model,
            given,
            dynamo=True,
            dynamic_shapes=(tuple(sides),),
            input_names=inputs,
            output_names=answers,
            external_data=False,
            verbose=False,
        )
    for node in program.model.graph.all_nodes():  # places in files of this machine
        node.metadata_props.clear()
        node.doc_string = None
    program.save(str(path))


def _checked(graph: OnnxGraph, calls: list[Call]) -> str:
    """Why the graph is not the network; empty if it is."""
    for call in calls:
        expected, found = named(call.answer), named(graph(*call.places, **call.given))
        for name, tensor in expected.items():
            gap = (found[name].double() - tensor.double()).abs().max() / tensor.double().abs().max().clamp(1)
            if found[name].shape != tensor.shape or not gap <= CLOSE:
                return f"the graph's answers differ from the network's, by {float(gap):.2g} of their size"
    return ""


def _unanswered(task: Any, graph: OnnxGraph, samples: Any, names: list[str]) -> str:
    """Why the task cannot answer by the graph; empty if it can."""
    try:
        task.outcomes(graph, samples, names, SEEN)
    except AttributeError as error:
        return f"its task asks the network for more than passes: {error}"
    return ""


@contextmanager
def _quiet() -> Iterator[None]:
    """An exporter that tells its steps, and of libraries that it does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
