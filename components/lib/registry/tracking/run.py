"""The MLflow run of a stage: found again after a crash, fed without waiting, ended with a status."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from components.lib.core.errors import Interrupted, TrunklineError
from components.lib.registry.tracking import pending
from components.lib.registry.tracking.identity import cut, identity, resume_or_start
from components.lib.registry.tracking.outbox import Item, Outbox
from components.lib.registry.tracking.server import connect, explained
from components.lib.storage.artifacts import canonical, sha256
from components.lib.storage.stage import Context

DEADLINE = 15.0  # seconds that the end of a run may take to send what is queued


@contextmanager
def track(context: Context, key: str, *, name: str = "", deadline: float = DEADLINE) -> Iterator[Tracker]:
    """The stage's run, which ends FINISHED, FAILED or, when it was told to stop, KILLED.

    Args:
        context: names the server, the pipeline run, the stage and the task.
        key: digest of the stage's key: a repeated stage resumes the run of the same work.
        name: shown in the list of runs.
        deadline: seconds that the end waits for a server that takes nothing; the rest goes to the ledger.
    """
    tracker = Tracker(context, key, name)
    try:
        yield tracker
    except (Interrupted, KeyboardInterrupt):
        tracker.close("KILLED", deadline)
        raise
    except BaseException:
        tracker.close("FAILED", deadline)
        raise
    tracker.close("FINISHED", deadline)
    if tracker.well:
        _send_pending(context)


def _send_pending(context: Context) -> None:
    """Sends what other stages could not while the server was away; what still does not get through stays."""
    for kept in pending.found(context.store):
        if kept.tracking_uri != context.tracking_uri:
            continue
        names = {name: kept.context[name] for name in ("run_id", "stage", "task", "details")}
        tracker = Tracker(replace(context, **names), kept.key, kept.name)
        tracker._put(list(kept.items))
        tracker.close(kept.status)
        if not tracker.well:
            return
        pending.forget(context.store, kept)


class Tracker:
    """One MLflow run. Without a tracking URI every method does nothing.

    `metrics`, `params` and `tags` only queue; a thread imports mlflow, opens the run and sends. So a slow or
    dead server delays nobody; what never got through is reported and kept in the store, and the next stage
    whose server answers sends it.
    `run_id`, `artifact` and `dataset` talk to the server at once and raise what it says.
    """

    def __init__(self, context: Context, key: str, name: str = "") -> None:
        self.context, self.enabled = context, bool(context.tracking_uri)
        self._key = key
        self._name = name or " ".join(filter(None, (context.stage, context.task)))
        self._identity = identity(context, key)
        self._lock = threading.Lock()
        self._client: Any = None
        self._run_id, self.experiment_id, self._started = "", "", 0
        self._known: set[str] = set()
        self._arrived: set[tuple[str, int, str]] = set()
        self._error: TrunklineError | None = None
        self.well = False  # whether all has arrived, once it is closed
        self._outbox = Outbox(self._send, _log(context, self._identity) if self.enabled else None)
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
        now, items = time.time_ns() // 1_000_000, []
        for name, value in values.items():
            number = float(value)
            if math.isinf(number):
                items.append(Item("tag", "trunkline.infinite", f"{name} at step {step}: {number}"))
                number = math.nan
            items.append(Item("metric", cut(name, "name"), number, now, step))
        self._put(items)

    def history(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Queues a recorded curve: rows of {"step", name: value}; points that are there already stay single.

        So a curve that was kept in a checkpoint makes good what was lost with a machine.
        """
        if not self.enabled:
            return
        self._open()
        items = [
            Item("metric", cut(name, "name"), float(value), self._started + index, int(row["step"]))
            for index, row in enumerate(rows)
            for name, value in row.items()
            if name != "step" and isinstance(value, int | float) and not math.isinf(value)
        ]
        self._put(items)

    def params(self, values: Mapping[str, Any]) -> None:
        """Queues parameters; nested mappings become dotted names. A resumed run keeps those that it has."""
        flat = _flatten(values)
        self._put([Item("param", cut(name, "name"), cut(text, "param")) for name, text in flat.items()])

    def tags(self, values: Mapping[str, str]) -> None:
        """Queues tags."""
        self._put([Item("tag", cut(name, "name"), cut(str(text), "tag")) for name, text in values.items()])

    def artifact(self, path: Path, folder: str = "") -> None:
        """Uploads a file to the run's artifacts."""
        if self.enabled:
            run_id = self._open()
            with explained(self.context.tracking_uri):
                self._client.log_artifact(run_id, str(path), folder or None)

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

    def close(self, status: str = "FINISHED", timeout: float = DEADLINE) -> list[Item]:
        """Sends what is queued, ends the run and returns what could not be sent; never raises."""
        if not self.enabled:
            return []
        left = self._outbox.close(timeout)
        error = self._outbox.error or self._error
        if error is None and self._run_id:  # the outbox opened it, unless it had too little time
            try:
                with explained(self.context.tracking_uri):
                    self._client.set_terminated(self._run_id, status)
            except TrunklineError as raised:
                error = raised
        unsent = left[len(self._outbox.refused) :]
        self.well = error is None and not unsent
        if left or error:
            self._report(left, error)
        if unsent:
            pending.keep(self.context, self._key, self._name, status, unsent)
        return left

    def _put(self, items: list[Item]) -> None:
        if self.enabled and items:
            self._outbox.put(items)

    def _send(self, items: list[Item]) -> None:
        """Called by the outbox's thread."""
        run_id = self._open()
        from mlflow.entities import Metric, Param, RunTag

        points = {_point(i.name, i.step, i.value): i for i in items if i.kind == "metric"}
        fresh = [i for point, i in points.items() if point not in self._arrived]
        metrics = [Metric(i.name, float(i.value), i.timestamp, i.step) for i in fresh]
        params = {i.name: str(i.value) for i in items if i.kind == "param" and i.name not in self._known}
        tags = {i.name: str(i.value) for i in items if i.kind == "tag"}
        with explained(self.context.tracking_uri):
            for pairs, kind, word in ((params, Param, "params"), (tags, RunTag, "tags")):
                entries = [kind(name, text) for name, text in pairs.items()]
                for start in range(0, len(entries), 100):
                    self._client.log_batch(run_id, **{word: entries[start : start + 100]})
            self._known.update(params)
            if metrics:
                self._client.log_batch(run_id, metrics=metrics)
        self._arrived.update(points)

    def _open(self) -> str:
        with self._lock:
            if self._error is not None:
                raise self._error
            if not self._run_id:
                try:
                    self._client = self._client or connect(self.context.tracking_uri)
                    run = resume_or_start(self._client, self.context, self._identity, self._name)
                    with explained(self.context.tracking_uri):
                        self._arrived = _points(self._client, run)
                except TrunklineError as error:
                    if not error.retriable:
                        self._error = error
                    raise
                self._run_id, self._known = run.info.run_id, set(run.data.params)
                self._started, self.experiment_id = int(run.info.start_time), str(run.info.experiment_id)
            return self._run_id

    def _report(self, left: list[Item], error: TrunklineError | None) -> None:
        refused = left and len(left) == len(self._outbox.refused)
        late = "the server refused them" if refused else "it takes too long"
        uri, reason = self.context.tracking_uri, error.what if error else late
        print(f"tracking: {len(left)} items did not reach {uri}: {reason}", flush=True)


def _point(name: str, step: int, value: float | str) -> tuple[str, int, str]:
    """What makes a point the same: a run that goes on from a checkpoint comes by the same points again."""
    return name, step, repr(float(value))


def _points(client: Any, run: Any) -> set[tuple[str, int, str]]:
    """All points that a resumed run has."""
    return {
        _point(name, point.step, point.value)
        for name in run.data.metrics
        for point in client.get_metric_history(run.info.run_id, name)
    }


def _log(context: Context, tags: Mapping[str, str]) -> Path:
    """The write-ahead log of this work: the next process that does it on this machine finds it."""
    name = sha256(canonical([context.tracking_uri, dict(tags)]))[:32]
    return context.store.cache / "outbox" / f"{name}.jsonl"


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat.update(_flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else json.dumps(value)
    return flat
