"""Log streaming of a TrainJob's rank-0 pod into this step's own log, through breaks and restarts."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time

from components.lib.core.errors import ServiceError, TrunklineError
from components.lib.kubernetes.api import Cluster

PAUSE = 2.0  # seconds between two looks for a pod or a log that broke off
_STAMP = re.compile(r"(\S+T[\d:]+)(?:\.(\d+))?Z (.*)", re.DOTALL)


class Follower(threading.Thread):
    """Follows the log until it is told to stop; a pod that is pending, new, or cut off is asked again.

    Kubernetes stamps each line with its time: what was shown before a break is not shown again.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        super().__init__(name="log", daemon=True)
        self._cluster, self._name = cluster, name
        self._ending = threading.Event()
        self._pod, self._last, self._heard = "", ("", ""), 0.0

    def run(self) -> None:
        last = False
        while not last:
            last = self._ending.is_set()
            try:
                with contextlib.suppress(ServiceError):  # who waits for the job meets it as well and tells it
                    self._follow()
            except TrunklineError as error:  # such as a right that is missing: the training goes on without
                print(f"pretraining: the log of the pods is not shown: {error}", flush=True)
                return
            self._ending.wait(PAUSE)

    def end(self, seconds: float) -> None:
        """Lets the rest of the log come for so long, then stops."""
        self._ending.set()
        self.join(seconds)

    def _follow(self) -> None:
        pod = self._cluster.first_pod(self._name)
        if pod is None or pod.status.phase in (None, "Pending"):
            return
        if pod.metadata.name != self._pod:
            self._pod, self._last, self._heard = pod.metadata.name, ("", ""), 0.0
        since = int(time.monotonic() - self._heard) + 5 if self._heard else None
        for line in self._cluster.log(self._pod, since):
            self._show(line)

    def _show(self, line: str) -> None:
        stamped = _STAMP.fullmatch(line)
        if stamped is None:
            return
        moment = (stamped[1], (stamped[2] or "").ljust(9, "0"))
        if moment <= self._last:
            return
        self._last, self._heard = moment, time.monotonic()
        sys.stdout.write(f"{stamped[3]}\n")
        sys.stdout.flush()
