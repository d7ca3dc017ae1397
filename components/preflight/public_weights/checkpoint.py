"""Checks of a published checkpoint without loading it: settings by an allow-list, weights by their heads.

The head of a safetensors file is JSON: names, types and shapes of all tensors.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.core.errors import DataError
from components.lib.models import loading
from components.lib.models.families import FAMILIES

INDEX = "model.safetensors.index.json"
LARGEST_HEAD = 100 << 20  # bytes; the library's own limit
TYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
FLOATS = ("F64", "F32", "F16", "BF16")
# Keys of config.json that decide nothing of the network, or are at work in generation alone.
IDLE = frozenset(
    "_name_or_path _num_labels architectures bad_words_ids chunk_size_feed_forward cls_token_id "
    "directionality do_sample dtype early_stopping encoder_no_repeat_ngram_size finetuning_task "
    "gradient_checkpointing id2label initializer_factor is_encoder_decoder label2id language "
    "length_penalty max_length min_length "
    "model_max_length model_type n_ctx no_repeat_ngram_size num_beams output_attentions output_hidden_states "
    "output_past prefix problem_type reference_compile repad_logits_with_grad repetition_penalty return_dict "
    "sep_token_id task_specific_params temperature tie_weights_ tokenizer_class top_k top_p torch_dtype "
    "torchscript transformers.js_config transformers_version typical_p use_bfloat16 vocab".split()
)
# Keys that would change the network, with the only value that is built here.
FIXED: dict[str, Any] = {
    "add_cross_attention": False,
    "cross_attention_hidden_size": None,
    "is_decoder": False,
    "position_embedding_type": "absolute",
    "pruned_heads": {},
}


@dataclass(frozen=True)
class Checkpoint:
    """What the files of a checkpoint say.

    Attributes:
        config: its settings, of the keys that its family has; what is kept as config.json.
        shapes: tensor -> (type, shape), of all weight files.
        weights: names of the files that hold them, and of their index.
        idle: keys of config.json that were left out.
    """

    folder: Path
    config: dict[str, Any]
    shapes: Mapping[str, tuple[str, tuple[int, ...]]]
    weights: tuple[str, ...]
    idle: tuple[str, ...]

    @property
    def model_type(self) -> str:
        """The family's name in `transformers`."""
        return str(self.config["model_type"])

    @property
    def types(self) -> list[str]:
        """The types of its numbers."""
        return sorted({kind for kind, _ in self.shapes.values() if kind in FLOATS})

    def json(self, name: str) -> Any:
        """The content of one of its files, or None where there is none; raises DataError."""
        return _json(self.folder / name) if (self.folder / name).is_file() else None


def read(folder: Path, reference: str) -> Checkpoint:
    """The checkpoint in a folder.

    Raises:
        DataError: if its settings name code, another family or unknown keys, or its weights do not fit
            together.
    """
    raw = _json(folder / "config.json")
    if not isinstance(raw, dict):
        raise DataError("config.json is not an object", where=reference)
    config, idle = _config(raw, reference)
    weights = _weights(folder, reference)
    shapes: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name in weights:
        if name != INDEX:
            shapes.update(heads(folder / name))
    _check_index(folder, shapes, reference)
    return Checkpoint(folder, config, shapes, weights, idle)


def _config(raw: Mapping[str, Any], reference: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings that decide the network, and the names of those left out."""
    code = sorted({name for name in loading.keys(raw) if any(part in name for part in loading.NEVER)})
    if code:
        fix = "take a checkpoint of a family that transformers has itself, not quantised"
        raise DataError("a checkpoint's settings name code to run", where=reference, found=code, fix=fix)
    kind = raw.get("model_type")
    if kind not in FAMILIES:
        raise DataError(
            "checkpoints of this kind are not taken",
            where=reference,
            found=f"model_type {kind!r}",
            expected=", ".join(FAMILIES),
        )
    family = FAMILIES[kind]
    fields, fixed = family.fields, {**FIXED, **family.fixed}
    wrong = {k: raw[k] for k, only in fixed.items() if k in raw and k not in fields and raw[k] != only}
    idle = {*IDLE, *family.idle}
    unknown = sorted(k for k in raw.keys() - fields - idle - fixed.keys() if raw[k] is not None)
    if wrong or unknown:
        raise DataError(
            f"the settings of a {kind} checkpoint are not those of its family",
            where=reference,
            found=", ".join([*unknown, *(f"{k}: {v!r}" for k, v in wrong.items())]),
            expected="a network as transformers builds it",
            fix="if these settings change nothing, take them out of config.json in a folder of your own",
        )
    kept = {name: value for name, value in raw.items() if name in fields}
    left_out = tuple(sorted(raw.keys() - kept.keys() - {"model_type", "architectures"}))
    architectures = raw.get("architectures") or [kind]
    return {**kept, "model_type": kind, "architectures": architectures}, left_out


def _weights(folder: Path, reference: str) -> tuple[str, ...]:
    """One file, or the shards that the index names, and the index."""
    if (folder / "model.safetensors").is_file():
        return ("model.safetensors",)
    index = _json(folder / INDEX) if (folder / INDEX).is_file() else None
    table = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        what = "the weights are in parts, and the index that names them is missing or broken"
        raise DataError(what, where=reference, expected=INDEX)
    shards = sorted(set(table.values()))
    lost = [name for name in shards if "/" in name or not (folder / name).is_file()]
    if lost:
        raise DataError("a part of the weights is missing", where=reference, found=lost, fix="fetch it whole")
    return (*shards, INDEX)


def _check_index(folder: Path, shapes: Mapping[str, Any], reference: str) -> None:
    if not (folder / INDEX).is_file() or (folder / "model.safetensors").is_file():
        return
    lost = sorted(_json(folder / INDEX)["weight_map"].keys() - shapes.keys())
    if lost:
        what = "the parts of the weights lack tensors that their index names"
        raise DataError(what, where=reference, found=lost[:5], fix="fetch the checkpoint whole")


def heads(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Tensor -> (type, shape) of a safetensors file; raises DataError if the file is not whole."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(LARGEST_HEAD, size - 8):
            what = "a weight file is not a safetensors file, or is cut"
            if start.startswith(b"version "):  # of Git LFS: a pointer instead of the file
                what = "a weight file is a pointer of Git LFS, not the weights"
            raise DataError(what, where=path.name, found=f"{size:,} bytes", fix="fetch it anew")
        table = _parsed(file.read(length), path.name)
    found, end = {}, 0
    for name, entry in table.items():
        if name == "__metadata__":
            continue
        try:
            kind, shape, (low, high) = entry["dtype"], tuple(map(int, entry["shape"])), entry["data_offsets"]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                "a weight file's head is broken", where=path.name, found=f"{name}: {error}"
            ) from error
        if kind not in TYPES:
            fix = "take weights that are not quantised"
            raise DataError(
                "weights have a type that is not taken", where=path.name, found=f"{name}: {kind}", fix=fix
            )
        if high - low != TYPES[kind] * math.prod(shape):
            raise DataError("a weight file's head is broken", where=path.name, found=f"{name}: {entry}")
        found[name], end = (kind, shape), max(end, high)
    if size != 8 + length + end:
        found_bytes, expected = f"{size:,} bytes", f"{8 + length + end:,} bytes"
        raise DataError(
            "a weight file is cut", where=path.name, found=found_bytes, expected=expected, fix="fetch it anew"
        )
    return found


def _json(path: Path) -> Any:
    return _parsed(path.read_bytes(), path.name)


def _parsed(data: bytes, where: str) -> Any:
    try:
        return json.loads(data)
    except ValueError as error:
        raise DataError("a file of a checkpoint is not JSON", where=where, found=error) from error
