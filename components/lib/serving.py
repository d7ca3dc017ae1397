"""Images in, answers out: how MLflow's pyfunc loads a trunk or a branch on images.

`mlmodel` copies this file and what it imports into a model, as a package called `trunkline`: what scored a
branch is what serves it, and nothing needs to be installed but the libraries that the model names.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from components.lib import images, pretrained
from components.lib.images import Canvas

BATCH = 64


def _load_pyfunc(path: str) -> Predictor:
    return Predictor(Path(path))


class Predictor:
    """A model of `transformers` on image files."""

    def __init__(self, folder: Path) -> None:
        import transformers

        from components.lib.vision.dense import Segmenter
        from components.lib.vision.networks import register

        register()
        self.canvas = Canvas.open(folder)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        architecture = config["architectures"][0]
        self.segments = architecture == Segmenter.__name__
        classifies = architecture.endswith("ForImageClassification")
        auto = transformers.AutoModelForImageClassification if classifies else transformers.AutoModel
        self.model = pretrained.model(Segmenter if self.segments else auto, folder).eval()
        named = classifies or self.segments
        self.names = {int(n): name for n, name in config["id2label"].items()} if named else {}

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """Label and score, or a mask as a PNG in base64, of a branch; one vector an image of a trunk.

        Args:
            model_input: a table with one column, or a list, of image files: bytes, or base64 text.
            params: none are known.
        """
        import numpy as np
        import torch

        column = model_input.iloc[:, 0] if hasattr(model_input, "iloc") else model_input
        pixels = np.stack([self.canvas.pixels(images.decode(_bytes(value))) for value in column])
        mean, std = (np.asarray(values, np.float32) for values in (self.canvas.mean, self.canvas.std))
        normal = torch.from_numpy(((pixels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            found = [self._answer(part) for part in torch.split(normal, BATCH)]
        return self._table(torch.cat(found)) if self.names else torch.cat(found).double().numpy()

    def _answer(self, pixels: Any) -> Any:
        if self.segments:
            return self.model(pixels).argmax(1)
        output = self.model(pixel_values=pixels)
        if self.names:
            return output.logits
        hidden = output.last_hidden_state
        return hidden.mean(dim=1) if hidden.ndim == 3 else hidden.mean(dim=(2, 3))

    def _table(self, logits: Any) -> list[dict[str, Any]]:
        if self.segments:
            import numpy as np

            numbers = np.array([int(self.names[place]) for place in sorted(self.names)], np.uint8)
            masks = (images.png(numbers[mask.numpy()][:, :, None]) for mask in logits)
            return [{"mask": base64.b64encode(mask).decode()} for mask in masks]
        best = logits.double().softmax(-1).max(-1)
        labels = [self.names[number] for number in best.indices.tolist()]
        pairs = zip(labels, best.values.tolist(), strict=True)
        return [{"label": label, "score": score} for label, score in pairs]


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else base64.b64decode(value, validate=True)
