"""Local execution of a graph by one of KFP's runners, with its exit record and the summary at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kfp import components, dsl, local

from components.closing.component import close
from components.lib.core.errors import InternalError, TrunklineError, WorkerLost
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from pipelines import compile, runners, summary
from pipelines.console import Console
from pipelines.processes import passing_on

# It says that images are not used: that is what a local run is.
_EXPECTED_WARNING = "You may be attemping to run a task that uses custom or non-Python base image"


def run(pipeline: str, parameters: dict[str, Any], run_id: str, console: Console, runner: str) -> int:
    """Executes the graph, makes sure of its exit record and prints where everything is.

    Args:
        runner: one of `pipelines.runners`.

    Returns:
        0, the exit code of the stage that failed, 75 where one was told to stop or killed, 70 where it did
        not say why, 130 where Ctrl-C found nothing to end.
    """
    start, failure, code = time.monotonic(), "", 0
    with passing_on() as signals:
        try:
            with _quiet(console):
                _execute(pipeline, parameters, run_id, runner)
        except KeyboardInterrupt:
            failure, code = "interrupted", 130
        except TrunklineError as error:
            failure, code = str(error), error.exit_code
        except Exception as error:  # KFP raises RuntimeError for a failed stage, anything for its own faults
            failure = str(console.failed[0]) if console.failed else f"{type(error).__name__}: {error}"
            code = console.failed[0].code if console.failed else InternalError.exit_code
            code = WorkerLost.exit_code if signals else code
    seconds = time.monotonic() - start
    try:
        context = Context(Store(parameters["store"]), parameters["tracking_uri"], run_id)
        _ensure_exit_record(context, failure)
        return summary.show(console, context, seconds, failure, code)
    except TrunklineError as error:
        console.line(f"\n{error}")
        return error.exit_code


def _execute(pipeline: str, parameters: dict[str, Any], run_id: str, runner: str) -> None:
    """Compiles the graph with the run's id in place of KFP's random one, and runs it."""
    scratch = Path(tempfile.mkdtemp(prefix="trunkline-kfp-"))
    os.environ["TMPDIR"] = str(scratch)  # of the stages: KFP leaves a folder there for each task
    try:
        text = compile.text(pipeline).replace(dsl.PIPELINE_JOB_ID_PLACEHOLDER, run_id)
        text = text.replace(dsl.PIPELINE_JOB_NAME_PLACEHOLDER, f"{pipeline} {run_id}")
        root = scratch / "root"
        with runners.running(runner, root, run_id) as by:
            # KFP deletes the workspace: it is never a folder of the user
            local.init(by, pipeline_root=str(root), workspace_root=str(scratch / "workspace"))
            components.load_component_from_text(text)(**parameters)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@contextlib.contextmanager
def _quiet(console: Console) -> Iterator[None]:
    with contextlib.redirect_stdout(console), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_EXPECTED_WARNING)
        yield


def _ensure_exit_record(context: Context, failure: str) -> None:
    """Writes the exit record where the graph ended without its exit handler."""
    if not any(key.endswith("/exit.json") for key in context.store.objects.keys(f"runs/{context.run_id}/")):
        status = dsl.PipelineTaskFinalStatus("FAILED", "", "", error_code=1, error_message=failure)
        report = dsl.HTML("report", os.devnull)  # the store has it
        close.python_func(store=context.store.uri, run_id=context.run_id, report=report, status=status)
