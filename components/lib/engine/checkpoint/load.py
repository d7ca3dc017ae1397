"""Loads one committed checkpoint: only the shard files with needed rows, verified before they are opened."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from components.lib.core.errors import IntegrityError
from components.lib.engine.checkpoint.layout import RowsNeeded
from components.lib.engine.checkpoint.save import STATE, shard
from components.lib.storage.artifacts import File
from components.lib.storage.objects import Objects
from components.lib.storage.store import verify


def read(objects: Objects, commit: str, needed: RowsNeeded) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(the needed rows by name, the state); raises IntegrityError or MissingError if it is damaged."""
    try:
        record = json.loads(objects.read(commit))
        files = {entry["name"]: File(**entry) for entry in record["files"]}
        folder = record["folder"]
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError("a commit cannot be read", where=commit, found=repr(error)) from error
    with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
        opened: dict[int, Any] = {}

        def fetch(name: str) -> Path:
            key = f"{folder}/{name}"
            path = objects.local(key)
            if path is None:
                path = Path(scratch, name)
                objects.download(key, path)
            verify(path, files[name])
            return path

        def open_shard(rank: int) -> Any:
            if rank not in opened:
                opened[rank] = safe_open(fetch(shard(rank)), framework="pt")
            return opened[rank]

        state = json.loads(fetch(STATE).read_text())
        if state["step"] != record.get("step"):
            found = f"of step {record.get('step')}"
            raise IntegrityError("a commit is of another step", where=commit, found=found)
        tensors = {}
        for name, (shape, ranges) in state.pop("tensors").items():
            tensors[name] = _assembled(name, needed(name, tuple(shape)), shape, ranges, open_shard)
        opened.clear()
        return tensors, state


def _assembled(
    name: str,
    wanted: tuple[int, int],
    shape: list[int],
    ranges: list[list[int]],
    open_shard: Callable[[int], Any],
) -> Tensor:
    """Rows [wanted) of a tensor out of the shard files that hold them."""
    if not shape:
        scalar: Tensor = open_shard(ranges[0][0]).get_tensor(name)
        return scalar
    found = []
    for rank, start, stop in ranges:
        low, high = max(wanted[0], start), min(wanted[1], stop)
        if low < high:
            found.append(open_shard(rank).get_slice(name)[low - start : high - start])
    if not found:  # this rank holds no rows of it: of the right type all the same
        return open_shard(ranges[0][0]).get_slice(name)[0:0]
    return found[0] if len(found) == 1 else torch.cat(found)
