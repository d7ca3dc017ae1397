"""MLflow run of a stage: resumed after a crash, logged to without blocking, ended with a status."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from components.lib.core.errors import Interrupted, ServiceError, TrunklineError
from components.lib.pages.model_card import flat
from components.lib.registry.tracking.identity import cut, identity, resume_or_start
from components.lib.registry.tracking.outbox import Item, Outbox
from components.lib.registry.tracking.server import connect, explained
from components.lib.storage.stage import Context

LIMIT = 100  # MLflow's, of parameters and of tags in one log_batch
DEADLINE = 15.0  # seconds without progress after which sending what is queued is given up


@contextmanager
def track(
    context: Context, key: str, *, name: str = "", deadline: float | None = None, of: str = ""
) -> Iterator[Tracker]:
    """The stage's run, which ends FINISHED, FAILED or, when it was told to stop, KILLED.

    Args:
        context: names the server, the pipeline run, the stage and the task.
        key: digest of the stage's key: a repeated stage resumes the run of the same work.
        name: shown in the list of runs.
        deadline: seconds that the end waits for a server that takes nothing; None is `DEADLINE`.
        of: an earlier stage, whose run is completed instead: what an outage kept from the server is sent
            again from the store. Its run is found whichever pipeline run began it; else a new one is made.
    """
    tracker = Tracker(replace(context, stage=of, task="") if of else context, key, name, earlier=bool(of))
    tracker.deadline = DEADLINE if deadline is None else deadline
    try:
        yield tracker
    except (Interrupted, KeyboardInterrupt):
        tracker.close("KILLED")
        raise
    except BaseException:
        tracker.close("FAILED")
        raise
    tracker.close("FINISHED")


class Tracker:
    """One MLflow run. Without a tracking URI every method does nothing.

    `metrics`, `history`, `params` and `tags` only queue; a thread imports mlflow, opens the run and sends. So
    a slow or dead server delays nobody. What never got through is reported; of a trunk, registration sends it
    again. `flush`, `run_id`, `text` and `dataset` wait for the server and raise what it says.
    """

    def __init__(self, context: Context, key: str, name: str = "", *, earlier: bool = False) -> None:
        self.context, self.enabled = context, bool(context.tracking_uri)
        self.experiment_id, self.deadline = "", DEADLINE
        self._name = name or " ".join(filter(None, (context.stage, context.task)))
        self._identity, self._earlier = identity(context, key), earlier
        self._lock = threading.Lock()
        self._client: Any = None
        self._run_id, self._ended = "", False
        self._known: set[str] = set()
        self._arrived: set[tuple[str, int, str]] = set()
        self._error: TrunklineError | None = None  # the run can never be opened
        self._outbox = Outbox(self._send)
        self.tags({"trunkline.stage": context.stage})  # mlflow is imported and the run opened meanwhile

    @property
    def run_id(self) -> str:
        """The MLflow run, opened if need be; empty without a tracking URI."""
        return self._open() if self.enabled else ""

    @property
    def client(self) -> Any:
        """The MlflowClient of this run."""
        self._open()
        return self._client

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Queues metric points at this moment's time.

        NaN is kept. MLflow would store an infinity as 1.8e308, which ruins every chart: it becomes NaN, and
        the tag `trunkline.infinite` names the last such point.
        """
        self._put(_items(values, step, _now()))

    def history(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Queues a recorded curve: rows of {"step", name: value}; points that are there already stay single.

        So a curve that was kept in a checkpoint or a trunk makes good what an outage or a crash has lost.
        """
        if self.enabled:  # else the rows need not be read
            for number, row in enumerate(rows, start=_now()):
                values = {name: value for name, value in row.items() if isinstance(value, int | float)}
                self._put(_items(values, int(values.pop("step")), number))

    def params(self, values: Mapping[str, Any]) -> None:
        """Queues parameters; nested mappings become dotted names. A resumed run keeps those that it has."""
        texts = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in flat(values).items()
        }
        self._put(Item("param", cut(name, "name"), cut(text, "param")) for name, text in texts.items())

    def tags(self, values: Mapping[str, str]) -> None:
        """Queues tags."""
        self._put(Item("tag", cut(name, "name"), cut(str(text), "tag")) for name, text in values.items())

    def flush(self) -> None:
        """Waits until the server has all that is queued.

        Raises:
            TrunklineError: what the server says, if it does not take it.
        """
        left = self._outbox.drain(self.deadline) if self.enabled else 0
        if left:
            found = f"{left} items wait"
            late = ServiceError("MLflow takes too long", where=self.context.tracking_uri, found=found)
            raise self._outbox.error or late
        if self._error:
            raise self._error

    def text(self, text: str, name: str) -> None:
        """Uploads a text as a file of the run's artifacts."""
        if self.enabled:
            run_id = self._open()
            with explained(self.context.tracking_uri):
                self._client.log_text(run_id, text, name)

    def dataset(self, name: str, digest: str, source: str, use: str = "training") -> None:
        """Names data as an input of the run, without reading it; MLflow keeps 36 characters of a digest."""
        if not self.enabled:
            return
        run_id = self._open()
        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind = "s3" if source.startswith("s3:") else "local"
        data = Dataset(name, digest[:36], kind, json.dumps({"uri": source}))
        with explained(self.context.tracking_uri):
            tag = InputTag("mlflow.data.context", use)
            self._client.log_inputs(run_id, [DatasetInput(data, [tag])])

    def close(self, status: str) -> None:
        """Sends what is queued and ends the run; never raises, but says what could not be sent."""
        if not self.enabled:
            return
        left = self._outbox.close(self.deadline)
        error = self._outbox.error or self._error
        if (
            error is None and self._run_id and not self._ended
        ):  # the outbox opened it, unless it had too little time
            try:
                with explained(self.context.tracking_uri):
                    self._client.set_terminated(self._run_id, status)
            except TrunklineError as raised:
                error = raised
        if left or error or self._outbox.refused:
            reason = error.what if error else "it takes too long" if left else "the server refused them"
            count, uri = left + len(self._outbox.refused), self.context.tracking_uri
            print(f"tracking: {count} items did not reach {uri}: {reason}", flush=True)

    def _put(self, items: Iterable[Item]) -> None:
        if self.enabled:
            self._outbox.put(items)

    def _send(self, items: list[Item]) -> None:
        """Called by the outbox's thread."""
        try:
            run_id = self._open()
        except TrunklineError as error:
            if error.retriable:
                raise
            self._outbox.refused.extend(items)  # all of them; there is no run to send them to
            return
        from mlflow.entities import Metric, Param, RunTag

        points = {_point(i.name, i.step, i.value): i for i in items if i.kind == "metric"}
        fresh = [i for point, i in points.items() if point not in self._arrived]
        metrics = [Metric(i.name, float(i.value), i.timestamp, i.step) for i in fresh]
        texts = {i.name: str(i.value) for i in items if i.kind == "param" and i.name not in self._known}
        params = [Param(*pair) for pair in texts.items()]
        tags = [RunTag(*pair) for pair in {i.name: str(i.value) for i in items if i.kind == "tag"}.items()]
        with explained(self.context.tracking_uri):
            for start in range(0, max(len(params), len(tags), len(metrics[:1])), LIMIT):  # nearly always once
                part = slice(start, start + LIMIT)
                self._client.log_batch(run_id, [] if start else metrics, params[part], tags[part])
        self._known.update(texts)
        self._arrived.update(points)

    def _open(self) -> str:
        with self._lock:
            if self._error is not None:
                raise self._error
            if not self._run_id:
                try:
                    self._client = self._client or connect(self.context.tracking_uri)
                    run = resume_or_start(
                        self._client, self.context, self._identity, self._name, earlier=self._earlier
                    )
                    with explained(self.context.tracking_uri):
                        self._arrived = _points(self._client, run)
                except TrunklineError as error:
                    if not error.retriable:
                        self._error = error
                    raise
                self._run_id, self._known = run.info.run_id, set(run.data.params)
                self.experiment_id = str(run.info.experiment_id)
                self._ended = self._earlier and run.info.status == "FINISHED"
            return self._run_id


def _now() -> int:
    return time.time_ns() // 1_000_000


def _items(values: Mapping[str, float], step: int, timestamp: int) -> Iterator[Item]:
    for name, value in values.items():
        number = float(value)
        if math.isinf(number):
            yield Item("tag", "trunkline.infinite", f"{name} at step {step}: {number}")
            number = math.nan
        yield Item("metric", cut(name, "name"), number, timestamp, step)


def _point(name: str, step: int, value: float | str) -> tuple[str, int, str]:
    """Key to deduplicate points: a run that resumes from a checkpoint logs the same points again."""
    return name, step, repr(float(value))


def _points(client: Any, run: Any) -> set[tuple[str, int, str]]:
    """All points that a resumed run already has."""
    return {
        _point(name, point.step, point.value)
        for name in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, name)
    }
