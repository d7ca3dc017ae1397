"""A network as an ONNX graph that onnxruntime computes: tasks call it as they call the network itself.

A graph is data: protobuf, with operators of the standard alone, and no code of anybody's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from components.lib.models import loading
from components.lib.models.calls import structured

GRAPH, PASS = "graph/model.onnx", "graph/pass.json"  # in the folder of a model; names of inputs and answers


class OnnxGraph(nn.Module):
    """A graph with the settings of its network.

    Attributes:
        config: of the network.
        inputs, answers: names of what goes in and comes out, as `calls` has them.
    """

    def __init__(self, folder: Path) -> None:
        """Opens the graph in a folder; raises DataError if the rest of the folder is not safe."""
        super().__init__()
        self._path, self._sessions = str(folder / GRAPH), dict[int, Any]()
        self.config: Any = loading.config(folder)
        told = json.loads((folder / PASS).read_text(encoding="utf-8"))
        self.inputs: list[str] = told["inputs"]
        self.answers: list[str] = told["answers"]
        self.there = nn.Parameter(torch.empty(0), requires_grad=False)  # says where answers are wanted
        self.eval()

    def forward(self, *places: Tensor, **given: Tensor) -> Any:
        """What the network answers, on the device of this module; it is computed on the CPU."""
        tensors = {**{f"place_{at}": value for at, value in enumerate(places)}, **given}
        arrays = {name: tensors[name].detach().cpu().numpy() for name in self.inputs}
        found = self._session(torch.get_num_threads()).run(None, arrays)
        pairs = zip(self.answers, found, strict=True)
        return structured({name: torch.from_numpy(value).to(self.there.device) for name, value in pairs})

    def _session(self, threads: int) -> Any:
        """As many threads as torch has at the time."""
        import onnxruntime

        if threads not in self._sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
            options.log_severity_level = 3  # no advice
            self._sessions[threads] = onnxruntime.InferenceSession(
                self._path, options, providers=["CPUExecutionProvider"]
            )
        return self._sessions[threads]
