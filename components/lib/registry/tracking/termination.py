"""Ends the MLflow runs of a pipeline run whose processes were killed; by REST or SQL, without mlflow."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path
from typing import Any

from components.lib.core.errors import AccessError, ConfigError, ServiceError
from components.lib.registry.tracking.database import opened
from components.lib.registry.tracking.server import access_fix, database
from components.lib.registry.tracking.state import request

TAGS = ("trunkline.run", "kfp.pipeline_run_id")  # of a parent run, of the runs of stages
TIMEOUT = 10.0  # seconds
MANY = 1_000  # MLflow's limit for one page


def end_all(uri: str, run_id: str, status: str) -> None:
    """Gives a status (KILLED, FAILED) to every MLflow run of a pipeline run that is still RUNNING.

    Raises:
        ServiceError: if the server does not answer.
        AccessError: if it refuses us.
    """
    path = database(uri)
    if path is None:
        ended = _by_rest(uri, run_id, status)
    else:
        ended = _by_sql(path, uri, run_id, status) if path.exists() else 0
    if ended:
        print(f"closing: {ended} MLflow run{'s' if ended > 1 else ''} marked as {status}", flush=True)


def _by_rest(uri: str, run_id: str, status: str) -> int:
    experiments = _pages(uri, "experiments/search", "experiments", {})
    ids = [one["experiment_id"] for one in experiments]
    found: dict[str, Any] = {}
    for tag in TAGS if ids else ():
        query = f"attributes.status = 'RUNNING' and tags.`{tag}` = '{run_id}'"
        runs = _pages(uri, "runs/search", "runs", {"experiment_ids": ids, "filter": query})
        found |= {run["info"]["run_id"]: run for run in runs}
    for name in found:
        _asked(uri, "runs/update", {"run_id": name, "status": status, "end_time": time.time_ns() // 10**6})
    return len(found)


def _pages(uri: str, call: str, name: str, words: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    token: str | None = ""
    while token is not None:
        page = {"page_token": token} if token else {}
        answer = _asked(uri, call, {**words, "max_results": MANY, **page})
        found += answer.get(name, [])
        token = answer.get("next_page_token") or None
    return found


def _asked(uri: str, call: str, words: dict[str, Any]) -> dict[str, Any]:
    try:
        status, body = request(f"{uri.rstrip('/')}/api/2.0/mlflow/{call}", TIMEOUT, words)
    except (OSError, http.client.HTTPException) as error:
        raise ServiceError("the MLflow server does not answer", where=uri, found=repr(error)) from error
    if status in (401, 403):
        raise AccessError("the MLflow server refuses us", where=uri, found=body[:200], fix=access_fix(body))
    if status != 200:
        kind = ServiceError if status >= 500 or status == 429 else ConfigError
        raise kind("MLflow failed", where=uri, found=f"{status} {body[:200]}")
    answer: dict[str, Any] = json.loads(body)
    return answer


def _by_sql(path: Path, uri: str, run_id: str, status: str) -> int:
    mine = f"select run_uuid from tags where key in {TAGS} and value = :run"
    query = "update runs set status = :status, end_time = :now where status = 'RUNNING'"
    with opened(path, uri) as base:
        values = {"run": run_id, "status": status, "now": time.time_ns() // 10**6}
        ended = base.execute(f"{query} and run_uuid in ({mine})", values).rowcount
        base.commit()
    return ended
