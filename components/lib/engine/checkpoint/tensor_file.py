"""Tensors as one safetensors file, hashed while it is written: 8 bytes of length, a JSON header, raw bytes.

`safetensors` reads it back; its own writer would hold the interpreter while it copies, and need a second
pass for the hash.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from components.lib.storage.artifacts import File

KINDS = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.bool: "BOOL",
}  # fmt: skip


def write(path: Path, tensors: dict[str, Tensor]) -> File:
    """Writes tensors of the CPU; the record of the file."""
    header, offset = {}, 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        span = [offset, offset + size]
        header[name] = {"dtype": KINDS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": span}
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
