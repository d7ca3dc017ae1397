"""Asynchronous checkpoint save: snapshot, write, hash, upload and commit in a background thread."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from components.lib.core.errors import InternalError, OutputError, ServiceError, TrunklineError
from components.lib.core.failpoints import reach
from components.lib.engine.checkpoint import tensor_file
from components.lib.engine.checkpoint.layout import TensorLayout, local_rows
from components.lib.engine.distributed import World
from components.lib.storage import artifacts
from components.lib.storage.artifacts import File
from components.lib.storage.objects import Objects

STATE = "state.json"
Commit = Callable[[dict[str, Any]], None]
SAVED, RETRIABLE, FATAL = range(3)  # how a save ended on one rank


def shard(rank: int) -> str:
    """The file of a rank."""
    return f"shard-{rank:05d}.safetensors"


@dataclass(frozen=True)
class Snapshot:
    """Metadata of a save.

    Attributes:
        state: the JSON that rank 0 writes beside the tensors.
    """

    folder: str
    state: str
    layout: dict[str, TensorLayout]
    score: float | None


class Saver:
    """Copies tensors to host memory at once, then writes, hashes, uploads and commits them in a thread."""

    def __init__(self, objects: Objects, world: World) -> None:
        self.objects, self.world = objects, world
        # On training's group these collectives would meet those of the step, in any order.
        self.group = dist.new_group(backend="gloo") if world.size > 1 else None
        self._staged: dict[str, Tensor] = {}
        self._thread: threading.Thread | None = None
        self._error: TrunklineError | None = None

    def start(self, snapshot: Snapshot, tensors: dict[str, Tensor], commit: Commit) -> None:
        """Begins a save; the caller may change `tensors` as soon as this returns.

        Args:
            commit: called with the record of all files, on rank 0, when all are in the store.
        """
        rank, layout = self.world.rank, snapshot.layout
        mine = {n: t for n, t in tensors.items() if any(r.rank == rank for r in layout[n].ranges)}
        staged = self._stage(mine)
        done = torch.cuda.Event() if self.world.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        if done is not None:
            done.record()
        arguments = (snapshot, staged, commit, done)
        self._thread = threading.Thread(target=self._work, args=arguments, name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> TrunklineError | None:
        """Joins the save under way; returns the error of the last one, once."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        return error

    def _stage(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Copies to host buffers that are kept for the next time, pinned for a GPU."""
        pinned = self.world.device.type == "cuda"
        for name, tensor in tensors.items():
            rows, place = local_rows(tensor), self._staged.get(name)
            if place is None or place.shape != rows.shape:
                place = self._staged[name] = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=pinned)
            place.copy_(rows, non_blocking=True)
        return {name: self._staged[name] for name in tensors}

    def _work(self, snapshot: Snapshot, staged: dict[str, Tensor], commit: Commit, done: Any) -> None:
        if done is not None:
            done.synchronize()
        mine: list[File] = []
        self._attempt(lambda: mine.extend(self._write(snapshot, staged)))
        try:
            files, worst = self._exchange(mine[0] if mine else File(shard(self.world.rank), 0, "0" * 64))
            if self.world.leads and worst == SAVED:
                listed = [asdict(file) for file in (*files, *mine[1:])]
                record = {"folder": snapshot.folder, "score": snapshot.score, "files": listed}
                self._attempt(lambda: commit(record))
            self._agree()
        except RuntimeError as error:  # the other processes are gone
            self._error = ServiceError("another process is gone", where=snapshot.folder, found=error)

    def _attempt(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except TrunklineError as error:
            self._error = error
        except Exception as error:
            self._error = InternalError("a checkpoint could not be saved", found=repr(error))

    def _write(self, snapshot: Snapshot, staged: dict[str, Tensor]) -> list[File]:
        """Uploads this rank's shard, and rank 0's state; returns their records."""
        with tempfile.TemporaryDirectory(prefix="trunkline-") as scratch, _disk_errors(Path(scratch)):
            path = Path(scratch, shard(self.world.rank))
            made = [tensor_file.write(path, staged)]
            reach("checkpoint.before_upload")
            self.objects.upload(path, f"{snapshot.folder}/{path.name}")
            reach("checkpoint.between_files")
            if self.world.leads:
                data = snapshot.state.encode()
                self.objects.write(f"{snapshot.folder}/{STATE}", data)
                made.append(File(STATE, len(data), artifacts.sha256(data)))
            return made

    def _exchange(self, mine: File) -> tuple[list[File], int]:
        """All-gathers the records of all ranks; also the worst outcome among them."""
        digest = torch.frombuffer(bytearray.fromhex(mine.sha256), dtype=torch.int64)
        record = torch.cat([torch.tensor([self._code(), mine.bytes]), digest])
        records = [torch.empty_like(record) for _ in range(self.world.size)]
        if self.group is None:
            records = [record]
        else:
            dist.all_gather(records, record, group=self.group)
        files = [
            File(shard(rank), int(r[1]), r[2:].numpy().tobytes().hex()) for rank, r in enumerate(records)
        ]
        return files, int(torch.stack(records)[:, 0].max())

    def _agree(self) -> None:
        """All-reduces the outcome: every rank fails if one does."""
        code = torch.tensor(self._code())
        if self.group is not None:
            dist.all_reduce(code, dist.ReduceOp.MAX, group=self.group)
        if code > self._code():
            kind = InternalError if code == FATAL else ServiceError
            self._error = kind("another process could not save its part of a checkpoint", fix="see its error")

    def _code(self) -> int:
        if self._error is None:
            return SAVED
        return RETRIABLE if self._error.retriable else FATAL


@contextlib.contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """An OSError in the block becomes an OutputError that says how much room there is."""
    try:
        yield
    except OSError as error:
        what, fix = "a checkpoint cannot be staged on the local disk", "free space, or set TMPDIR elsewhere"
        expected = f"room; {shutil.disk_usage(folder).free:,} bytes are free"
        raise OutputError(what, where=str(folder), found=error, expected=expected, fix=fix) from error
