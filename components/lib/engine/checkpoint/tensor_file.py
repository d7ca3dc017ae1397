"""Safetensors writer that hashes while it writes: 8 bytes of length, a JSON header, raw bytes.

`safetensors` reads it back; its own writer would hold the GIL while it copies, and need a second pass for the
hash.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.lib.storage.artifacts import File


def write(path: Path, tensors: dict[str, Tensor]) -> File:
    """Writes CPU tensors; returns name, bytes and SHA-256 of the file."""
    header, offset = {}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        span = [offset, offset + size]
        header[name] = {"dtype": _code(tensor.dtype), "shape": list(tensor.shape), "data_offsets": span}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # tensors start aligned
    digest, total = hashlib.sha256(), 0
    with path.open("wb") as file:
        for chunk in (len(text).to_bytes(8, "little"), text, *map(_bytes, tensors.values())):
            digest.update(chunk)
            file.write(chunk)
            total += len(chunk)
    return File(path.name, total, digest.hexdigest())


def _bytes(tensor: Tensor) -> Any:
    flat = tensor.contiguous().flatten()
    return flat.view(torch.uint8).numpy().data if flat.numel() else b""


def _code(kind: torch.dtype) -> str:
    """The name of a dtype in the header: F32, BF16, I64, U8, BOOL, ..."""
    name = str(kind).removeprefix("torch.").upper()
    for long, short in (("BFLOAT", "BF"), ("FLOAT", "F"), ("UINT", "U"), ("INT", "I")):
        name = name.replace(long, short)
    return name
