"""Pictures of what was learnt, for the report: pictures/*.png and pictures/pictures.json.

The modality may offer `pictures(trunk, draw)` and an objective `pictures(samples, draw)`; each returns
objects with a title, a note and `png()`. Held-out samples are shown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum

SHOWN = 12  # samples an objective shows


def write(folder: Path, model: WeightedSum, trunk: Any, samples: Any, seed: int) -> None:
    """Writes nothing if neither the modality nor an objective has anything to show."""
    found = []
    was = model.training
    model.eval()
    with torch.no_grad():
        if hasattr(samples, "pictures"):
            found += samples.pictures(trunk, _draw(len(samples), seed))
        for term in model.terms.values():
            show: Any = getattr(term, "pictures", None)
            if show is not None:
                found += show(samples, _draw(min(SHOWN, len(samples)), seed))
    model.train(was)
    entries = []
    for number, picture in enumerate(found):
        name = f"pictures/{number:02d}.png"
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(picture.png())
        entries.append({"title": picture.title, "file": name, "note": picture.note})
    if entries:
        (folder / "pictures" / "pictures.json").write_text(json.dumps(entries, indent=1))


def _draw(count: int, seed: int) -> Draw:
    ids = np.arange(count, dtype=np.int64)
    return Draw(ids, np.zeros_like(ids), seed, training=False)
