"""Status of a TrainJob: progress, time left and the last losses, for Kubeflow Trainer 2.3 or newer.

Its gate TrainJobStatus gives pods the variables. A thread posts the newest row, and drops those between:
a server that hangs, fails or is gone holds nothing up.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.lib.engine.losses import Row

URL, CERTIFICATE, TOKEN = (f"KUBEFLOW_TRAINER_SERVER_{name}" for name in ("URL", "CA_CERT", "TOKEN"))
EVERY, TIMEOUT, LAST = 10.0, 5.0, 2.0  # seconds between two posts, of one, and for the last one at the end
LISTED = 30  # metrics of a status
PASSING = ("step", "skipped", "rolled_back_to")  # of a row: no metric


@contextmanager
def reported(steps: int) -> Iterator[Callable[[Row], None]]:
    """What takes the rows of a training of so many steps; it does nothing where nobody asks for a status."""
    url = os.environ.get(URL, "")
    if not url:
        yield lambda row: None
        return
    status = _Status(url, steps)
    try:
        yield status.tell
    finally:
        status.end()


class _Status:
    def __init__(self, url: str, steps: int) -> None:
        self.url, self.steps = url, steps
        self._metrics: dict[str, float] = {}
        self._begun: tuple[float, float] | None = None  # step and time of the first row here
        self._status: dict[str, Any] | None = None
        self._fresh, self._ended, self._failed = threading.Event(), threading.Event(), False
        self._thread = threading.Thread(target=self._run, name="trainjob-status", daemon=True)
        self._thread.start()

    def tell(self, row: Row) -> None:
        """Takes a row; returns at once."""
        step, now = row["step"], time.monotonic()
        self._begun = self._begun or (step, now)
        named = {name: value for name, value in row.items() if name not in PASSING and math.isfinite(value)}
        self._metrics |= named
        found = list(self._metrics.items())[:LISTED]
        status: dict[str, Any] = {
            "progressPercentage": min(100, int(100 * step / self.steps)),
            "metrics": [{"name": name, "value": f"{value:.6g}"} for name, value in found],
            "lastUpdatedTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        if step > self._begun[0]:
            pace = (now - self._begun[1]) / (step - self._begun[0])
            status["estimatedRemainingSeconds"] = max(0, round(pace * (self.steps - step)))
        self._status = status
        self._fresh.set()

    def end(self) -> None:
        """Gives the last status a moment to arrive."""
        self._ended.set()
        self._fresh.set()
        self._thread.join(LAST)

    def _run(self) -> None:
        while True:
            self._fresh.wait()
            self._fresh.clear()
            if (status := self._status) is not None:
                self._status = None
                self._post(status)
            if self._ended.is_set() and self._status is None:
                return
            self._ended.wait(EVERY)

    def _post(self, status: dict[str, Any]) -> None:
        body, head = json.dumps({"trainerStatus": status}).encode(), {"Content-Type": "application/json"}
        try:
            parts = urlsplit(self.url)
            if path := os.environ.get(TOKEN, ""):  # anew each time: it is renewed
                head["Authorization"] = f"Bearer {Path(path).read_text(encoding='utf-8').strip()}"
            line = _line(parts.scheme, parts.netloc)
            try:
                line.request("POST", parts.path, body, head)
                code = line.getresponse().status
            finally:
                line.close()
            self._told("" if 200 <= code < 300 else f"it answers {code}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            self._told(repr(error))

    def _told(self, why: str) -> None:
        """A failure once, until a status arrives again."""
        if why and not self._failed:
            print(f"Kubeflow Trainer does not take the status of this training: {why}", flush=True)
        self._failed = bool(why)


def _line(scheme: str, place: str) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(place, timeout=TIMEOUT)
    context = ssl.create_default_context(cafile=os.environ.get(CERTIFICATE) or None)
    return http.client.HTTPSConnection(place, timeout=TIMEOUT, context=context)
