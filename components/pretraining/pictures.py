"""Pictures of what was learnt, for the report: pictures/*.png and pictures/pictures.json.

The modality may offer `pictures(trunk, draw)` and an objective `pictures(samples, draw)`; each returns
objects with a title, a note and `png()`. Held-out samples are shown.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.storage.store import Draft

SHOWN = 12  # samples an objective shows


def write(draft: Draft, model: WeightedSum, trunk: Any, samples: Any, seed: int) -> None:
    """Adds pictures to the draft of a trunk, none if neither the modality nor an objective has any.

    They decorate a finished training: whatever goes wrong costs a picture and is told in the manifest, as
    `notices` of what was measured, and the trunk is committed all the same.
    """
    entries: list[dict[str, str]] = []
    notices = []
    was = model.training
    model.eval()
    for name, draw in _artists(model, trunk, samples, seed):
        try:
            with torch.no_grad():
                drawn = [(picture.title, picture.note, picture.png()) for picture in draw()]
        except Exception as error:
            traceback.print_exc()
            notices.append(f"the pictures of {name} could not be drawn: {error!r}")
            continue
        for title, note, png in drawn:
            file = f"pictures/{len(entries):02d}.png"
            draft.write(file, png)
            entries.append({"title": title, "file": file, "note": note})
    model.train(was)
    if entries:
        draft.write("pictures/pictures.json", json.dumps(entries, indent=1))
    if notices:
        draft.measured["notices"] = notices


def _artists(
    model: WeightedSum, trunk: Any, samples: Any, seed: int
) -> Iterator[tuple[str, Callable[[], list[Any]]]]:
    """Whoever draws, by name."""
    if hasattr(samples, "pictures"):
        yield "the samples", partial(samples.pictures, trunk, _draw(len(samples), seed))
    for name, term in model.terms.items():
        show: Any = getattr(term, "pictures", None)
        if show is not None:
            yield name, partial(show, samples, _draw(min(SHOWN, len(samples)), seed))


def _draw(count: int, seed: int) -> Draw:
    ids = np.arange(count, dtype=np.int64)
    return Draw(ids, np.zeros_like(ids), seed, training=False)
