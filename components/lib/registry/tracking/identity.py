"""Which MLflow run is that of a piece of work: its tags, found again after a crash, begun once."""

from __future__ import annotations

import os
import uuid
from typing import Any

from components.lib.core.errors import TrunklineError
from components.lib.registry.tracking.server import connect, experiment, explained
from components.lib.storage.stage import Context

LIMITS = {"param": 6_000, "tag": 8_000, "name": 250}  # MLflow's, in characters
PIPELINE_RUN = "kfp.pipeline_run_id"  # the tag that KFP's own MLflow plugin uses


def conclude(context: Context, key: str, status: str) -> None:
    """Ends the run of a process that could not do so itself, because it was killed."""
    if not context.tracking_uri:
        return
    try:
        client, tags = connect(context.tracking_uri), identity(context, key)
        with explained(context.tracking_uri):
            experiment_id = experiment(client, _experiment(context))
            run = _earlier(client, experiment_id, context.run_id, tags)
            if run is not None and run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, status)
    except TrunklineError as error:
        print(f"tracking: the run could not be marked as {status}: {error.what}", flush=True)


def _experiment(context: Context) -> str:
    return str(context.details.get("preset") or "trunkline")


def identity(context: Context, key: str) -> dict[str, str]:
    """The tags by which a run is found again."""
    tags = {"trunkline.stage": context.stage, "trunkline.task": context.task, "trunkline.key": key}
    return {name: value for name, value in tags.items() if value}


def resume_or_start(client: Any, context: Context, tags: dict[str, str], name: str) -> Any:
    """The ambient run of KFP's plugin; else the run of the same work, begun earlier; else a new one.

    A run of another pipeline run is resumed only if it has not finished: the stage was killed then.
    """
    experiment_id = ""
    ambient = os.environ.get("MLFLOW_RUN_ID", "")
    with explained(context.tracking_uri):
        if ambient and os.environ.get("MLFLOW_TRACKING_URI", context.tracking_uri) == context.tracking_uri:
            run = client.get_run(ambient)
        else:
            experiment_id = experiment(client, _experiment(context))
            run = _earlier(client, experiment_id, context.run_id, tags)
        tags = {**tags, PIPELINE_RUN: context.run_id, **_details(context)}
        if run is None:
            return _started(client, experiment_id, tags, name)
        from mlflow.entities import RunTag

        client.log_batch(run.info.run_id, tags=[RunTag(*pair) for pair in tags.items()])
        client.update_run(run.info.run_id, status="RUNNING")
        return run


def _started(client: Any, experiment_id: str, tags: dict[str, str], name: str) -> Any:
    """A new run; the client asks again when an answer is lost, and then there are two."""
    mark = {"trunkline.start": uuid.uuid4().hex}
    run = client.create_run(experiment_id, tags={**tags, **mark}, run_name=name)
    for other in client.search_runs([experiment_id], f"tags.`trunkline.start` = '{mark['trunkline.start']}'"):
        if other.info.run_id != run.info.run_id:
            client.delete_run(other.info.run_id)
    return run


def _earlier(client: Any, experiment_id: str, run_id: str, tags: dict[str, str]) -> Any:
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    found = client.search_runs([experiment_id], query, order_by=["attributes.start_time DESC"])
    same = [run for run in found if run.data.tags.get(PIPELINE_RUN) == run_id]
    return next(iter(same + [run for run in found if run.info.status != "FINISHED"]), None)


def _details(context: Context) -> dict[str, str]:
    details = {
        f"trunkline.{name}": cut(str(value), "tag") for name, value in context.details.items() if value
    }
    details |= {"mlflow.source.name": f"trunkline {context.stage}", "mlflow.source.type": "JOB"}
    if context.details.get("git"):
        details["mlflow.source.git.commit"] = str(context.details["git"])
    return details


def cut(text: str, kind: str) -> str:
    """`text` in as many characters as MLflow takes for that kind."""
    limit = LIMITS[kind]
    return text if len(text) <= limit else text[: limit - 3] + "..."
