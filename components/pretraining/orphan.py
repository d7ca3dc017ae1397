"""Orphan detection in the pods of a TrainJob: does anybody still follow it, by the lease in the store.

A run that was terminated, or whose machine is gone, cannot end its TrainJob. Whoever follows one renews the
lease `launches/<key>`; when that was not renewed for `pretraining.launch.orphan_minutes`, the pods save a
checkpoint and end with a code after which JobSet does not start them again.
"""

from __future__ import annotations

import os
import signal
import threading
import time

from components.lib.core.errors import Interrupted, Orphaned, TrunklineError
from components.lib.storage.lease import Lease, seconds
from components.lib.storage.store import Store
from components.pretraining.job import Job


class OrphanWatch(threading.Thread):
    """Sends this process SIGTERM when nobody follows its TrainJob any more."""

    def __init__(self, job: Job) -> None:
        super().__init__(name="orphan", daemon=True)
        self._lease = Lease(Store(job.store).objects, f"launches/{job.key.digest}")
        self._limit = 60.0 * float(job.config["launch"].get("orphan_minutes", 0))
        self._seen, self._since = ("", 0.0), time.monotonic()

    def run(self) -> None:
        while self._limit:
            time.sleep(seconds())
            if self._quiet() >= self._limit:
                print("pretraining: nobody follows this training any more: it stops", flush=True)
                os.kill(os.getpid(), signal.SIGTERM)
                return

    def cause(self, error: TrunklineError) -> TrunklineError:
        """The error to leave: that of an orphan, if that is why the processes stopped, here or elsewhere."""
        if not self._limit or type(error) is not Interrupted:
            return error
        quiet = self._quiet()
        if quiet < self._limit - 2 * seconds():  # another pod may have looked a little earlier
            return error
        found = f"no sign of life in {quiet / 60:.0f} minutes"
        fix = "run again to resume; see pretraining.launch.orphan_minutes"
        return Orphaned("nobody follows this training any more", found=found, fix=fix)

    def _quiet(self) -> float:
        """Seconds since the lease was renewed; as far as this process has seen, where the store is away.

        Clocks may differ: what another one says counts only after a look of some length on our own.
        """
        try:
            holder = self._lease.holder()
        except TrunklineError:
            return 0.0
        if holder is None:  # there never was one
            return 0.0
        now = time.monotonic()
        if (holder.token, holder.renewed) != self._seen:
            self._seen, self._since = (holder.token, holder.renewed), now
        observed = now - self._since
        return max(observed, holder.age if holder.renewed else 0.0) if observed > 2 * seconds() else observed
