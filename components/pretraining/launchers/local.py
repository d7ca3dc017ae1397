"""Local launcher: training in this process, or in several under torchrun, restarted if one dies or hangs."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace

from components.lib.core.errors import Interrupted, TrunklineError
from components.lib.core.hardware import cores
from components.lib.core.settings import from_dict
from components.lib.storage.store import Store
from components.pretraining.config import Config as Settings
from components.pretraining.job import Job
from components.pretraining.watchdog import Watchdog


@dataclass(frozen=True)
class Config:
    """Nothing to choose: `pretraining.nproc` says how many processes."""


def launch(job: Job, options: Config) -> None:
    """Trains to the end.

    Raises:
        Interrupted: if it was told to stop; the state is saved.
        WorkerLost: if a process died or hung more often in a row than `restarts`, without getting further.
        TrunklineError: what a process had to say.
    """
    settings = from_dict(Settings, job.config, "pretraining")
    nproc = settings.nproc or _processes(settings)
    job = replace(job, config={**job.config, "nproc": nproc})
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        job.write(folder)
        if nproc == 1:
            from components.pretraining.train import train

            train(folder)
            return
        flags = ["--standalone", f"--nproc-per-node={nproc}"]
        _until_done(job, Watchdog(folder, flags, settings.hang_seconds), settings.restarts)


def _until_done(job: Job, watchdog: Watchdog, restarts: int) -> None:
    """Restarts the processes after a fault that may pass; they resume from their last checkpoint."""
    store, furthest, spent = Store(job.store), -1, 0
    while store.find(job.key) is None:  # they may have died after their work was done
        try:
            watchdog.run()
            return
        except TrunklineError as error:
            if type(error) is Interrupted or not error.retriable:  # told to stop
                raise
            spent = 0 if watchdog.reached > furthest else spent + 1
            furthest = max(furthest, watchdog.reached)
            if spent >= restarts:
                raise
            print(f"pretraining: starting again after step {watchdog.reached}: {error}", flush=True)
            time.sleep(min(30, 2**spent - 1))


def _processes(settings: Settings) -> int:
    """One a GPU; without one, a core each: the most that share out the batch evenly."""
    import torch

    most = torch.cuda.device_count() or cores()
    return next(n for n in range(most, 0, -1) if settings.global_batch % n == 0 or n == 1)
