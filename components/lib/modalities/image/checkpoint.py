"""What a published checkpoint of an image model brings besides weights: input size, mean and deviation.

Read as data where there is no torch, from the file of image processors of `transformers`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from components.lib.core.errors import DataError

PROCESSOR = "preprocessor_config.json"
POOLING = {
    "vit": "cls",
    "dinov2": "cls",
    "resnet": "pooler",
    "convnext": "pooler",
}  # as they are used as features
FIXED = ("vit",)  # have one position a patch of one size


def adopt(checkpoint: Any, reference: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is added to its settings, and the facts of it.

    Raises:
        DataError: if how images become its input is not told, or cannot be done.
    """
    values, config = checkpoint.json(PROCESSOR), checkpoint.config
    if not isinstance(values, dict):
        fix = "AutoImageProcessor.from_pretrained(...).save_pretrained(folder) writes one: name that folder"
        raise DataError(f"the checkpoint has no {PROCESSOR}", where=reference, fix=fix)
    height, width, fit = _size(values, reference)
    channels = int(config.get("num_channels", 3))
    mean, deviation = values.get("image_mean", [0.5] * channels), values.get("image_std", [0.5] * channels)
    if not values.get("do_normalize", True):
        mean, deviation = [0.0] * channels, [1.0] * channels
    fixed, factor = config.get("image_size", 224), float(values.get("rescale_factor", 1 / 255))
    wrong = "" if abs(factor * 255 - 1) < 1e-3 else f"rescale_factor {factor}"
    if checkpoint.model_type in FIXED and (height, width) != _sides(fixed):
        wrong = f"{height} x {width} pixels for weights of {fixed}"
    if len(mean) != channels or len(deviation) != channels or channels not in (1, 3):
        wrong = f"mean {mean} and deviation {deviation} of {channels} channels"
    if wrong:
        raise DataError("images cannot be brought to this checkpoint's input", where=reference, found=wrong)
    canvas = {"height": height, "width": width, "channels": channels, "fit": fit}
    canvas |= {"mean": list(map(float, mean)), "std": list(map(float, deviation))}
    added = {"pooling": POOLING[checkpoint.model_type], "input_size": [height, width]}
    file = json.dumps({**values, "trunkline": canvas}, indent=1, sort_keys=True) + "\n"
    facts = {"capabilities": [], "head": False, "canvas": canvas, "pooling": added["pooling"]}
    return {**added, "files": {PROCESSOR: file}}, facts


def _size(values: Mapping[str, Any], reference: str) -> tuple[int, int, str]:
    """Height, width and fit: the largest centre of that shape is shown, where theirs crop a little more."""
    size: Any = (
        values["crop_size"] if values.get("do_center_crop") and "crop_size" in values else values.get("size")
    )
    side = size.get("shortest_edge") if isinstance(size, dict) else size
    if isinstance(side, int):
        return side, side, "crop"
    try:
        size = dict(size)
        return int(size["height"]), int(size["width"]), "crop" if values.get("do_center_crop") else "stretch"
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            "the size of a checkpoint's input is not told", where=reference, found=size
        ) from error


def _sides(size: Any) -> tuple[int, int]:
    return (size[0], size[1]) if isinstance(size, list) else (size, size)
