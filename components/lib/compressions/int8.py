"""The ONNX graph with 8-bit weights, and 8-bit states that are scaled as they come (dynamic quantization).

Weights are rounded by the rows of each matrix. Source: Jacob et al., "Quantization and training of neural
networks for efficient integer-arithmetic-only inference", 2018.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.compressions import Full, onnx
from components.lib.core.settings import setting

LIBRARIES = ("onnxruntime",)
TOOLS = ("onnx", "onnxscript")

load = onnx.load


@dataclass(frozen=True)
class Config:
    """How weights are rounded."""

    reduced: bool = setting(
        False, "7 bits a weight, for servers whose CPU has no VNNI and would overflow with 8 (before 2019)"
    )


def make(full: Full, options: Config, folder: Path) -> str:
    """The graph of `onnx`, its matrices and its table of embeddings rounded."""
    if why := onnx.make(full, onnx.Config(), folder):
        return why
    import onnx as format
    from onnxruntime.quantization import QuantType, quantize_dynamic

    from components.lib.models.onnx_graph import GRAPH

    graph = format.load(folder / GRAPH)
    del graph.graph.value_info[:]  # shapes of weights, which the quantizer transposes
    rounded = {"per_channel": True, "weight_type": QuantType.QInt8, "reduce_range": options.reduced}
    logging.getLogger().addFilter(_unasked)
    try:
        quantize_dynamic(graph, folder / GRAPH, **rounded)
    finally:
        logging.getLogger().removeFilter(_unasked)
    return ""


def _unasked(record: Any) -> bool:
    """Advice of the quantizer about a preparation that torch's exporter has done."""
    return "pre-processing" not in str(record.msg)
