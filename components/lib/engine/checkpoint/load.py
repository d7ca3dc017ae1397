"""One checkpoint, read back: only the files that hold needed rows, each verified before it is opened."""

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
from components.lib.engine.checkpoint.save import STATE, shard
from components.lib.engine.distributed import World
from components.lib.storage.artifacts import File
from components.lib.storage.objects import Objects
from components.lib.storage.store import verify


class Reader:
    """Reads a checkpoint for this process."""

    def __init__(self, objects: Objects, world: World) -> None:
        self.objects, self.world = objects, world

    def read(
        self, commit: str, needed: Callable[[str, tuple[int, ...]], tuple[int, int]]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """(the needed rows by name, the state); raises IntegrityError or MissingError if it is damaged."""
        try:
            record = json.loads(self.objects.read(commit))
            files = {entry["name"]: File(**entry) for entry in record["files"]}
            folder = record["folder"]
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError("a commit cannot be read", where=commit, found=repr(error)) from error
        with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch:
            opened: dict[int, Any] = {}

            def fetch(name: str) -> Path:
                key = f"{folder}/{name}"
                path = self.objects.local(key)
                if path is None:
                    path = Path(scratch, name)
                    self.objects.download(key, path)
                verify(path, files[name])
                return path

            def rows(rank: int) -> Any:
                if rank not in opened:
                    opened[rank] = safe_open(fetch(shard(rank)), framework="pt")
                return opened[rank]

            state = json.loads(fetch(STATE).read_text())
            if state["step"] != record.get("step"):
                found = f"of step {record.get('step')}"
                raise IntegrityError("a commit is of another step", where=commit, found=found)
            tensors = {}
            for name, (shape, parts) in state.pop("tensors").items():
                tensors[name] = _assembled(name, needed(name, tuple(shape)), shape, parts, rows)
            opened.clear()
            return tensors, state


def _assembled(
    name: str, wanted: tuple[int, int], shape: list[int], parts: list[list[int]], rows: Callable[[int], Any]
) -> Tensor:
    """Rows [wanted) of a tensor out of the files that hold them."""
    if not shape:
        number: Tensor = rows(parts[0][0]).get_tensor(name)
        return number
    first, last = wanted
    found = []
    for rank, start, stop in parts:
        low, high = max(first, start), min(last, stop)
        if low < high:
            found.append(rows(rank).get_slice(name)[low - start : high - start])
    if not found:  # this process holds no rows of it: of the right type all the same
        return rows(parts[0][0]).get_slice(name)[0:0]
    return found[0] if len(found) == 1 else torch.cat(found)
