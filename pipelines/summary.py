"""The last lines of a local run: what it took, where everything is, what went wrong."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from components.lib.storage.stage import Context, read_records
from pipelines.console import Console


def show(console: Console, context: Context, seconds: float, failure: str, code: int) -> int:
    """Prints the end of a run from its ledger.

    Args:
        seconds: what the whole run took.
        failure: what KFP said, if it failed.
        code: the exit code if no stage has noted an error.

    Returns:
        The exit code of the first stage that failed, else `code`.
    """
    records = read_records(context)
    failed = [record for record in records if record["error"]]
    own = sum(record["seconds"] for record in records)
    console.line("")
    _place(console, context, "report", f"runs/{context.run_id}/report.html")
    _place(console, context, "all runs", "runs/index.html")
    console.line(f"  {'log':<9} {_short(console.path)}")
    if not code:
        console.line(f"  {'models':<9} {_models(context.tracking_uri)}")
    starting = "" if code else f", {max(0.0, seconds - own):.1f} s of it to start processes"
    console.line(f"  {'time':<9} {seconds:.1f} s{starting}")
    for record in failed:
        task = f" of {record['task']}" if record["task"] else ""
        console.line(f"\n{record['stage']}{task} failed: {describe(record['error'])}")
    if failure and not failed:
        told = any(failure.startswith(f"{one.stage} ") for one in console.failed)
        console.line(f"\n{failure}" if told else f"\nthe run failed: {failure}")
    return int(failed[0]["error"]["exit_code"]) if failed else code


def describe(error: dict[str, Any]) -> str:
    """A typed error from the ledger, as it was printed where it was raised."""
    parts = [f"  {name}: {error[name]}" for name in ("where", "found", "expected", "fix") if error[name]]
    return "\n".join([error["what"], *parts, *map(describe, error.get("errors", []))])


def _models(tracking_uri: str) -> str:
    """How to look at them: `make ui` by itself shows those of the usual place."""
    if tracking_uri.startswith("http"):
        return tracking_uri
    from components.lib.registry.tracking.server import database  # which the image of `pipelines` lacks

    usual = database(tracking_uri) == Path(__file__).resolve().parents[1] / "runs" / "mlflow.db"
    return "make ui" if usual else f"make ui MLFLOW_TRACKING_URI={shlex.quote(tracking_uri)}"


def _place(console: Console, context: Context, what: str, key: str) -> None:
    """A line that says where an object of the store is, if it is there."""
    if key in context.store.objects.keys(key):
        path = context.store.objects.local(key)
        console.line(f"  {what:<9} {_short(path) if path else f'{context.store.uri}/{key}'}")


def _short(path: Path) -> str:
    """The path from here, where it is below."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
