"""Images in, answers out: how MLflow's pyfunc loads a trunk or a branch on images.

`mlmodel` copies this file, those of the tasks on images, and what they import into a model, as a package
called `trunkline`: what scored a branch is what serves it, and nothing needs to be installed but the
libraries that the model names.
"""

from __future__ import annotations

import base64
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.lib.data import images
from components.lib.data.images import Canvas
from components.lib.models import loading

BATCH = 64
TRUNK = "trunk"


def _load_pyfunc(path: str, model_config: Mapping[str, Any]) -> Predictor:
    return Predictor(Path(path), model_config["kind"])


class Predictor:
    """A model on image files.

    Args:
        kind: the file of the task, or `trunk`.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.canvas = Canvas.open(folder)
        tasks = f"{__package__.partition('.registry')[0]}.tasks"
        self.task = None if kind == TRUNK else importlib.import_module(f"{tasks}.{kind}")
        self.model = _trunk(folder) if self.task is None else self.task.load(folder)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """What the task answers of each image; of a trunk, a vector an image.

        Args:
            model_input: a table with one column, or a list, of image files: bytes, or base64 text.
            params: none are known.
        """
        import numpy as np
        import torch

        column = model_input.iloc[:, 0] if hasattr(model_input, "iloc") else model_input
        files = [images.decode(_bytes(value)) for value in column]
        pixels = np.stack([self.canvas.pixels(one) for one in files])
        mean, std = (np.asarray(values, np.float32) for values in (self.canvas.mean, self.canvas.std))
        normal = torch.from_numpy(((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).copy())
        parts = [range(at, min(at + BATCH, len(files))) for at in range(0, len(files), BATCH)]
        with torch.no_grad():
            if self.task is None:
                return torch.cat([self._vectors(normal[part]) for part in parts]).double().numpy()
            answers = (
                self.task.answers(self.model, normal[part], self.canvas, [files[i].shape[:2] for i in part])
                for part in parts
            )
            return [answer for some in answers for answer in some]

    def _vectors(self, pixels: Any) -> Any:
        hidden = self.model(pixel_values=pixels).last_hidden_state
        return hidden.mean(dim=1) if hidden.ndim == 3 else hidden.mean(dim=(2, 3))


def _trunk(folder: Path) -> Any:
    from transformers import AutoModel

    from components.lib.models.vision.networks import register

    register()
    return loading.model(AutoModel, folder).eval()


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
