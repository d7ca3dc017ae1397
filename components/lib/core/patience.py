"""Patience with services: how long an outage is sat out, everywhere; retries with exponential backoff."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

from components.lib.core.errors import ServiceError, TrunklineError

VARIABLE = "TRUNKLINE_PATIENCE"
SECONDS = 600.0  # a pod that is made anew on another node, a control plane that is upgraded
PAUSE, LONGEST = 1.0, 30.0  # seconds before the second try, and between later ones
T = TypeVar("T")


def seconds() -> float:
    """Seconds that an outage is sat out: SECONDS, or what the environment says."""
    return float(os.environ.get(VARIABLE) or SECONDS)


def patiently(work: Callable[[], T], who: str) -> T:
    """The result of `work`, which can be repeated: again while a service does not answer.

    The time counts from the first failure; work that went on for much longer than an outage ended that one.

    Raises:
        TrunklineError: what no second try can mend, or what lasts.
    """
    began, pause = None, PAUSE
    while True:
        started = time.monotonic()
        try:
            return work()
        except TrunklineError as error:
            now = time.monotonic()
            if began is None or now - started > 3 * max(seconds(), LONGEST):
                began, pause = now, PAUSE
            if not passing(error) or now - began + pause > seconds():
                raise
            print(f"{who}: {error.what} ({error.found[:200]}); again in {pause:.0f} s", flush=True)
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)


def passing(error: TrunklineError) -> bool:
    """Whether it may pass by itself: a service that fails, not a process that was told to stop or died."""
    return isinstance(error, ServiceError) or (error.retriable and error.exit_code == ServiceError.exit_code)
