"""The report of a run as an artifact of Kubeflow's UI, also of a run that failed before it had one."""

from __future__ import annotations

import json
import os
import traceback
from pathlib import Path

from components.closing.config import Config
from components.lib.core.errors import MissingError
from components.lib.pages import page
from components.lib.storage.store import Store


def show(config: Config, output: Path) -> None:
    """Copies `runs/<run>/report.html`; else makes a page of the exit record. Never fails the run."""
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        text = _report(Store(config.store or os.environ.get("TRUNKLINE_STORE", "")), config.run_id)
    except Exception as error:
        traceback.print_exc()
        text = page.render("lib/pages/page.html.j2", config.run_id, content=page.problem(error))
    output.write_text(text, encoding="utf-8")


def _report(store: Store, run_id: str) -> str:
    try:
        return store.objects.read(f"runs/{run_id}/report.html").decode()
    except MissingError:
        record = json.loads(store.objects.read(f"runs/{run_id}/exit.json"))
    failure = record.get("failure") or {}
    error = failure.get("error") or {}
    rows = [("stage", " of ".join(filter(None, (failure.get("stage"), failure.get("task")))))]
    rows += [(name, error[name]) for name in ("what", "where", "found", "expected", "fix") if error.get(name)]
    content = page.part("definitions", dict(rows)) if failure else ""
    return page.render("lib/pages/page.html.j2", f"Run {run_id}", lead=record["status"], content=content)
