"""Ray: steps as tasks of a Ray cluster, of this machine or at an address.

Every machine of a cluster needs this code at the same place and reaches the store: the stage's own image has
both. A task whose worker or machine is lost is run again elsewhere. Workers keep what a step holds open.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import ray

from components.lib.core.errors import InternalError, ServiceError, TrunklineError, revived, unexpected
from components.lib.core.hardware import cores
from components.lib.core.signals import SIGNALS
from components.lib.executors import Step

REQUIRES = ("ray",)
ROOT = str(Path(__file__).parents[3])
AGAIN = 3  # times that a step is tried after its worker was lost
PATIENCE = 10  # seconds in which an address must answer
OBJECTS = 512 << 20  # bytes of results that a local cluster holds in memory
LOCAL = "local"  # Ray's word for a new cluster on this machine, whatever the environment says

_steps: dict[bytes, Step] = {}  # of this worker, by how they are made: the last one


class Executor:
    """Runs steps as Ray tasks of one core each; connects to the cluster when there is something to do."""

    threads = 1

    def __init__(self, address: str, workers: int) -> None:
        self._address, self._workers, self._connected = address or LOCAL, workers, False

    def map(self, make: Callable[[], Step], items: Iterable[Any]) -> Iterator[Any]:
        self._connect()
        task = ray.remote(_run).options(max_retries=AGAIN, num_cpus=1)
        made = ray.put(pickle.dumps(make))
        waiting: deque[Any] = deque()
        for item in items:
            waiting.append(task.remote(made, item))
            if len(waiting) > 2 * int(ray.cluster_resources().get("CPU", 1)):
                yield from _results(waiting.popleft())
        while waiting:
            yield from _results(waiting.popleft())

    def close(self) -> None:
        if self._connected:
            ray.shutdown()
        self._connected = False

    def _connect(self) -> None:
        if self._connected:
            return
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        own: dict[str, Any] = {}
        if self._address == LOCAL:
            own = {"num_cpus": self._workers or cores(), "include_dashboard": False}
            own |= {"object_store_memory": OBJECTS}
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's own 15 gives way to all else
            held = os.environ.get("PYTHONPATH")
            os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, *filter(None, [held])])  # workers inherit it
        try:
            if self._address != LOCAL:
                _reach(self._address)
            ray.init(address=self._address, log_to_driver=False, logging_level="ERROR", **own)
        except (OSError, RuntimeError, ValueError, ImportError) as error:
            fix = "check the address and that the cluster runs, or set the engine to processes"
            what = "no Ray cluster can be had"
            raise ServiceError(what, where=self._address, found=f"{error}", fix=fix) from error
        self._connected = True
        if threading.current_thread() is threading.main_thread():  # Ray's own would end us unheard
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _reach(address: str) -> None:
    """Raises OSError or ValueError if nobody listens at host:port; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), PATIENCE).close()


def _run(made: bytes, item: Any) -> tuple[list[Any], dict[str, Any] | None]:
    """A task: the results of a step, or the error that it raised."""
    try:
        if made not in _steps:
            for old in _steps.values():
                old.close()
            _steps.clear()
            _steps[made] = pickle.loads(made)()
        return list(_steps[made](item)), None
    except TrunklineError as error:
        return [], error.to_dict()
    except Exception as error:
        return [], unexpected(error).to_dict()


def _results(reference: Any) -> list[Any]:
    """What a task gave.

    Raises:
        TrunklineError: that its step raised.
        ServiceError: if its workers were lost again and again.
    """
    try:
        values, error = ray.get(reference)
    except ray.exceptions.RayTaskError as raised:
        raise InternalError(f"a Ray task failed: {raised}") from raised
    except ray.exceptions.RayError as raised:
        fix = "see Ray's log of the lost worker; give it more memory, or run again: finished steps are kept"
        what = f"a step was lost {AGAIN + 1} times"
        raise ServiceError(what, where="ray", found=f"{raised}".partition("\n")[0], fix=fix) from raised
    if error is not None:
        raise revived(error)
    return list(values)
