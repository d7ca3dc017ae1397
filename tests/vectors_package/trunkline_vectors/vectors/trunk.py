"""Trunks that read rows of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn
from transformers import AutoModel

from components.lib.models import loading
from trunkline_vectors.network import VectorsConfig, VectorsModel
from trunkline_vectors.rows import View


class Trunk(nn.Module):
    """The fully connected network."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model
        self.width: int = model.config.hidden_sizes[-1]

    def forward(self, view: View) -> Tensor:
        """(n, width): the code of the numbers, with their noise."""
        return self.read(view.numbers())

    def read(self, numbers: Tensor) -> Tensor:
        """(n, inputs) -> (n, width)."""
        hidden: Tensor = self.model(numbers=numbers).last_hidden_state
        return hidden

    def pool(self, hidden: Tensor, view: View) -> Tensor:
        """The code is one vector a row."""
        return hidden

    def save(self, folder: Path) -> None:
        """Writes config.json and model.safetensors."""
        loading.save(self.model, folder)


def load(folder: Path) -> Trunk:
    """A trunk from a folder that `Trunk.save` wrote."""
    return Trunk(loading.model(AutoModel, folder))


def built(inputs: int, widths: tuple[int, ...]) -> Trunk:
    """A trunk with random weights."""
    return Trunk(VectorsModel(VectorsConfig(inputs=inputs, hidden_sizes=list(widths))))
