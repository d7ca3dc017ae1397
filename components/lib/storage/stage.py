"""Context of a stage: store, tracking, reuse of committed outputs, and the run's ledger.

A run's ledger is one small JSON object for each stage that ended, under `<store>/runs/<run>/`. It holds
what a clock has a part in (seconds, errors), and is what the exit record and the report read.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from components.lib.core import hardware, patience, signals
from components.lib.core.errors import InternalError, Interrupted, TrunklineError, unexpected
from components.lib.storage import artifacts, source_cache
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.lease import Lease
from components.lib.storage.store import Draft, Store


@dataclass
class Context:
    """Where a stage runs.

    Attributes:
        run_id: the pipeline run (KFP's id); names the ledger and tags MLflow runs.
        tracking_uri: the MLflow server, or sqlite:///... on a laptop.
        details: what the run was started with (preset, git commit, image), for lineage.
        task: the downstream task, inside the fan-out.
        notices: what a person should know of this run though nothing is wrong.
        ledger: whether the store takes the record of this stage.
        config: the settings of the stage.
        passed_on: why there was nothing to do, such as unchanged data; empty if there was.
        account: of ingestion: records read, kept, dropped by rule, quarantined; files passed over.
    """

    store: Store
    tracking_uri: str = ""
    run_id: str = "local"
    stage: str = ""
    task: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    outputs: list[dict[str, Any]] = field(default_factory=list)
    ledger: bool = True
    notices: list[str] = field(default_factory=list)
    config: Any = None
    passed_on: str = ""
    account: dict[str, Any] = field(default_factory=dict)

    def tell(self, notice: str) -> None:
        """Prints a notice, and keeps it for the report of the run."""
        self.notices.append(notice)
        print(f"{self.stage}: {notice}", flush=True)

    def passes_on(
        self, inputs: Iterable[Path], *outputs: Path, page: Path | None = None, text: Path | None = None
    ) -> bool:
        """Whether the settings or an input say that there is nothing to do; then so do all outputs.

        A graph cannot leave stages out: KFP's driver collects no loop that is empty or skipped.

        Args:
            inputs, outputs: files of manifests.
            page, text: outputs that are a page of HTML, and Markdown.
        """
        reasons = [self.passed_on, *map(artifacts.passed_on, inputs)]
        self.passed_on = next(filter(None, reasons), "")
        if not self.passed_on:
            return False
        for path in outputs:
            artifacts.pass_on(self.passed_on, path)
        if page is not None:
            from components.lib.pages import page as pages  # which the image of `pipelines` lacks

            page.parent.mkdir(parents=True, exist_ok=True)
            shown = pages.render("lib/pages/page.html.j2", self.stage, lead=self.passed_on, content="")
            page.write_text(shown, encoding="utf-8")
        if text is not None:
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_text(self.passed_on, encoding="utf-8")
        print(f"{self.stage}: passed on: {self.passed_on}", flush=True)
        return True

    def produce(self, key: Key, build: Callable[[Draft], None], output: Path) -> Manifest:
        """Writes the manifest of `key` to `output`; calls `build` only if the store has none."""

        def make() -> None:
            with self.store.draft(key) as draft:
                build(draft)
                draft.commit()

        return self.obtain(key, make, output)

    def obtain(self, key: Key, make: Callable[[], None], output: Path) -> Manifest:
        """Like `produce`, where `make` commits the output itself, or has another process do it.

        Of several runs that want the same, one works; the others wait while it lives, and take its output.
        """
        reused = self.store.find(key) is not None or not self._made(key, make)
        manifest = self.store.find(key)
        if manifest is None:
            raise InternalError("the work ended without an output", where=f"{key.stage}/{key.digest}")
        manifest.write(output)
        self.record(manifest, reused=reused)
        return manifest

    def _made(self, key: Key, make: Callable[[], None]) -> bool:
        """Calls `make` if nobody else is at it; False: another run has made it."""
        lease = Lease(self.store.objects, f"launches/{key.digest}", self.run_id)

        def there() -> bool:
            return self.store.find(key) is not None

        def tell(owner: str) -> None:
            self.tell(f"run {owner} makes the same: this one waits for its result while that one lives")

        made = False
        while lease.wait(there, tell):
            try:
                with lease.kept():
                    if made := not there():
                        make()
                break
            except Interrupted:  # if not told to stop, then thought dead: another run makes the same
                holder = lease.holder()
                if signals.received() or holder is None or holder.owner == self.run_id:
                    raise
        lease.remove()
        return made

    def record(self, manifest: Manifest, *, reused: bool) -> None:
        """Notes an output in the ledger."""
        self.outputs.append({"reference": manifest.reference, "uri": manifest.uri, "reused": reused})
        print(f"{manifest.key.stage}: {'reused' if reused else 'made'} {manifest.uri}", flush=True)


STORED = (
    "stored"  # key in the store of the rest of what a stage is handed, if that is too long for a parameter
)
C = TypeVar("C")
P = ParamSpec("P")
T = TypeVar("T")
LAST = "promotion"  # the stage that ends every run that ends well
# Of the Hugging Face libraries, read when they are imported: which a stage does after it was opened.
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")


@contextmanager
def stage(name: str, settings: Mapping[str, Any], *, task: str = "", hub: bool = False) -> Iterator[Context]:
    """Opens the context that preflight put in `settings` and keeps the ledger.

    Without a source `hf:` in its settings, or `hub`, a stage does not reach the Hugging Face Hub. A typed
    error is printed without a traceback and becomes the exit code of the process.
    """
    atexit.register(gc.freeze)  # a last garbage collection through all of torch costs a second
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    start = time.time()
    context: Context | None = None
    error: TrunklineError | None = None
    try:
        store = Store(settings["store"])
        if STORED in settings:
            settings = {**settings, **json.loads(store.objects.read(settings[STORED]))}
        reason = settings.get("passed_on", "")
        context = Context(store, task=task, stage=name, passed_on=reason, **settings["run"])
        context.config = settings.get("config") or {}
        if not hub and '"hf:' not in json.dumps(context.config):
            os.environ.update(dict.fromkeys(OFFLINE, "1"))
        hardware.check_accelerators()
        with signals.obeyed(), source_cache.of(context.store):
            yield context
    except TrunklineError as raised:
        error = raised
    except Exception as raised:
        error = unexpected(raised)
    if error is not None:
        error.stage = name
    try:
        if context is not None and context.ledger:
            write_record(context, start, error)
            _conclude(context, error)
    except TrunklineError as raised:  # a store that cannot be written is often the error itself
        error = error or raised
    if error is not None:
        print(f"\n{name} failed: {error}", file=sys.stderr, flush=True)
        sys.exit(error.exit_code)


def patient(
    run: Callable[Concatenate[C, Context, P], T],
) -> Callable[Concatenate[C, Context, P], T]:
    """Decorator of a stage's `run`, which can be repeated: again while a service does not answer."""

    @functools.wraps(run)
    def tried(config: C, context: Context, /, *paths: P.args, **named: P.kwargs) -> T:
        told, made = len(context.notices), len(context.outputs)

        def attempt() -> T:
            del context.notices[told:], context.outputs[made:]
            return run(config, context, *paths, **named)

        return patience.patiently(attempt, context.stage)

    return tried


def write_record(context: Context, start: float, error: TrunklineError | None) -> None:
    """Writes this stage's record to the run's ledger."""
    end = time.time()
    record = {
        "stage": context.stage,
        "task": context.task,
        "tracking_uri": context.tracking_uri,
        "details": context.details,
        "status": "failed" if error else "succeeded",
        "start": start,
        "end": end,
        "seconds": round(end - start, 3),
        "outputs": context.outputs,
        "notices": context.notices,
        "passed_on": context.passed_on,
        "account": context.account,
        "error": error.to_dict() if error else None,
    }
    name = f"{context.stage}.{context.task}" if context.task else context.stage
    data = json.dumps(record, indent=1, sort_keys=True).encode()
    context.store.objects.write(f"runs/{context.run_id}/{name}.json", data)


def _conclude(context: Context, error: TrunklineError | None) -> None:
    """The exit record, where closing is not to write it: see `exit_record`."""
    from components.lib.storage import exit_record

    if error is None and context.stage == LAST:
        exit_record.write(context.store, context.run_id, read_records(context), exit_record.SUCCEEDED)
    elif error is not None and exit_record.read(context.store, context.run_id):  # a Retry
        exit_record.write(context.store, context.run_id, read_records(context), exit_record.FAILED)


def read_records(context: Context) -> list[dict[str, Any]]:
    """The ledger of this run, in the order in which its stages started."""
    keys = context.store.objects.keys(f"runs/{context.run_id}/")
    records = [json.loads(context.store.objects.read(key)) for key in keys if key.endswith(".json")]
    return sorted((record for record in records if "stage" in record), key=lambda record: record["start"])
