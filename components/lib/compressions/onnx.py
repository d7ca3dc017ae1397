"""The branch as an ONNX graph that onnxruntime computes: the same answers, with less around each operator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.compressions import Full

LIBRARIES = ("onnxruntime",)
TOOLS = ("onnx", "onnxscript")


@dataclass(frozen=True)
class Config:
    """There is nothing to choose."""


def make(full: Full, options: Config, folder: Path) -> str:
    """The graph, checked against the network on a few records."""
    from components.lib.models.onnx_export import SEEN, export

    full.model.config.save_pretrained(folder)
    samples = full.encode(full.seen.first(SEEN))
    return export(full.task, full.model, samples, full.names, folder)


def load(task: Any, folder: Path) -> Any:
    """The graph in a folder."""
    from components.lib.models.onnx_graph import OnnxGraph

    return OnnxGraph(folder)
