"""Starts the training processes: here, or as many as asked under torchrun."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from components.lib.artifacts import Manifest
from components.lib.config import to_dict
from components.lib.errors import InternalError, Interrupted, TrunklineError
from components.lib.stage import Context
from components.lib.store import Draft
from components.pretraining.config import Config

RESUME = Interrupted.exit_code


def launch(config: Config, context: Context, tokens: Manifest, draft: Draft) -> None:
    """Trains and fills `draft` with the trunk.

    The worker reads one JSON file and writes plain files into `draft.folder`, so that it is the same
    program in this process, under torchrun and on a cluster.
    """
    checkpoints = f"checkpoints/{draft.key.stage}/{draft.key.digest}"
    job: dict[str, Any] = {
        "config": to_dict(config),
        "store": context.store.uri,
        "tokens": tokens.reference,
        "checkpoints": checkpoints,
        "output": str(draft.folder),
        "run": {name: getattr(context, name) for name in ("tracking_uri", "run_id", "stage", "details")},
    }
    nproc = config.nproc or _processes(config)
    job["config"]["nproc"] = nproc
    path = draft.folder / "job.json"
    path.write_text(json.dumps(job))
    if nproc == 1:
        from components.pretraining.train import train

        train(path)
    else:
        _torchrun(path, nproc)
    path.unlink()
    result = json.loads((draft.folder / "result.json").read_text())
    (draft.folder / "result.json").unlink()
    draft.facts, draft.measured = result["facts"], result["measured"]
    for name in sorted(
        p.relative_to(draft.folder).as_posix() for p in draft.folder.rglob("*") if p.is_file()
    ):
        draft.add(name)
    _forget_checkpoints(context, checkpoints)


def _processes(config: Config) -> int:
    """One a GPU; without one, a core each: the most that share out the batch evenly."""
    import torch

    most = torch.cuda.device_count() or os.cpu_count() or 1
    return next(n for n in range(most, 0, -1) if config.global_batch % n == 0 or n == 1)


def _torchrun(job: Path, nproc: int) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={nproc}"]
    command += ["-m", "components.pretraining.train", str(job)]
    status = job.with_name("status.json")
    status.unlink(missing_ok=True)
    # Without a named interface, gloo may pick one that cannot reach itself, and restarts hang.
    environment = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1", **os.environ}
    code = subprocess.run(command, env=environment, check=False).returncode
    if code == 0:
        return
    if status.exists():  # torchrun's own code is 1, whatever happened; the worker wrote down what did
        error = json.loads(status.read_text())
        if error["exit_code"] == RESUME:
            raise Interrupted(error["what"], where=error["where"], fix=error["fix"])
        raised = TrunklineError(**{k: error[k] for k in ("what", "where", "found", "expected", "fix")})
        raised.family, raised.exit_code = error["family"], error["exit_code"]
        raise raised
    raise InternalError(
        "a training process died", found=f"torchrun exit code {code}", fix="see its log above"
    )


def _forget_checkpoints(context: Context, prefix: str) -> None:
    for key in list(context.store.objects.keys(f"{prefix}/")):
        context.store.objects.delete(key)
