"""Watch of a TrainJob's pods and events: prints each change, and knows what is stuck or ran out of memory."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from components.lib.core.errors import ServiceError, TrunklineError
from components.lib.kubernetes import pods
from components.lib.kubernetes.api import Cluster
from components.lib.kubernetes.pods import Happening, PodState

PAUSE = 2.0  # seconds between two watches, where one broke off
NAMED = 4  # pods that a line names; of more, it says how many


class PodWatch:
    """What the pods of one TrainJob wait for and end by, from two watches of the API.

    Args:
        name: of the TrainJob.
        since: when it was made, in seconds since 1970: older events were of another one of that name.
    """

    def __init__(self, cluster: Cluster, name: str, since: float) -> None:
        self._cluster, self._name, self._since = cluster, name, since
        self._lock, self._ending = threading.Lock(), threading.Event()
        self._pods: dict[str, PodState] = {}
        self._events: dict[tuple[str, str], Happening] = {}  # the newest of each object
        self._killed: dict[str, PodState] = {}
        self._told: set[tuple[str, str]] = set()
        self._news: dict[str, list[str]] = {}
        self._stuck: tuple[str, float] | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watches while the block runs; what comes is told by `tell`."""
        for kind, selector, see in (
            ("pods", f"jobset.sigs.k8s.io/jobset-name={self._name}", self._see_pods),
            ("events", "", self._see_events),
        ):
            threading.Thread(target=self._keep, args=(kind, selector, see), name=kind, daemon=True).start()
        try:
            yield
        finally:
            self._ending.set()

    def look(self) -> None:
        """Asks for the pods once, now."""
        with contextlib.suppress(TrunklineError):
            for change in self._cluster.watch("pods", f"jobset.sigs.k8s.io/jobset-name={self._name}"):
                self._see_pods(*change)
                break

    def tell(self) -> None:
        """Prints what has changed since it was called last, pods that say the same in one line."""
        with self._lock:
            news, self._news = self._news, {}
        for text, who in news.items():
            many = f"{len(who)} pods" if len(who) > NAMED else ", ".join(who)
            print(f"pretraining: {many}: {text}", flush=True)

    def waiting(self) -> str:
        """What the pods that do not run say, in one line."""
        with self._lock:
            return "; ".join({pod.text: 0 for pod in self._pods.values() if pod.phase == "Pending"})

    def stuck(self) -> tuple[str, float] | None:
        """What a person must mend before the pods can run, and for how many seconds it has lasted."""
        with self._lock:
            return (self._stuck[0], time.monotonic() - self._stuck[1]) if self._stuck else None

    def killed(self) -> dict[str, PodState]:
        """Of each attempt of the job, the first pod of which the kernel ended a process for memory."""
        with self._lock:
            return dict(self._killed)

    def ended(self) -> str:
        """How the pods ended that did not end well, in one line."""
        with self._lock:
            failed = [f"{self._who(one.name)}: {one.text}" for one in self._pods.values() if one.code]
        return "; ".join(failed[:NAMED])

    def _keep(self, kind: str, selector: str, see: Callable[[str, Any], None]) -> None:
        while not self._ending.is_set():
            try:
                with contextlib.suppress(ServiceError):  # who waits for the job meets it as well and tells it
                    for change in self._cluster.watch(kind, selector):
                        if self._ending.is_set():
                            return
                        see(*change)
            except TrunklineError as error:  # such as a right that is missing: the training goes on without
                print(f"pretraining: {kind} of the TrainJob are not shown: {error}", flush=True)
                return
            self._ending.wait(PAUSE)

    def _see_pods(self, change: str, value: Any) -> None:
        with self._lock:
            if change == "LISTED":
                self._pods = {}
            for pod in map(pods.read, value if change == "LISTED" else [value]):
                self._pods[pod.name] = pod
                if change == "DELETED":
                    del self._pods[pod.name]
                    continue
                if pod.out_of_memory:
                    self._killed.setdefault(pod.attempt, pod)
                self._note(pod.name, self._who(pod.name), pod.text, pod.message)
            self._judge()

    def _see_events(self, change: str, value: Any) -> None:
        with self._lock:
            for event in map(pods.read_event, value if change == "LISTED" else [value]):
                old = event.last and event.last < self._since
                if change == "DELETED" or old or self._name not in event.about[1]:
                    continue
                before = self._events.get(event.about)
                if before is None or event.last >= before.last:
                    self._events[event.about] = event
                kind, of = event.about
                self._note(of, self._who(of) if kind == "Pod" else kind, event.text, event.message)
            self._judge()

    def _note(self, name: str, who: str, text: str, message: str) -> None:
        """Keeps a line to tell, once; not if another source said the same."""
        if (name, text) in self._told or (message and (name, message) in self._told):
            return
        self._told |= {(name, text), (name, message)}
        if who not in self._news.setdefault(text, []):
            self._news[text].append(who)

    def _who(self, name: str) -> str:
        found = re.fullmatch(rf"{self._name}-node-\d+-(\d+)-[a-z0-9]+", name)
        return f"pod {found[1]}" if found else name

    def _judge(self) -> None:
        """Whether something is stuck; it lasts until nothing is and a pod runs."""
        sentence = next((pod.text for pod in self._pods.values() if pod.stuck), "")
        for (kind, name), event in self._events.items() if not sentence else ():
            pod = self._pods.get(name)
            waits = pod.phase == "Pending" if pod else kind != "Pod" and not self._pods
            if event.stuck and waits:
                sentence = event.text
        if sentence:
            self._stuck = (sentence, self._stuck[1] if self._stuck else time.monotonic())
        elif any(pod.phase == "Running" for pod in self._pods.values()):
            self._stuck = None
