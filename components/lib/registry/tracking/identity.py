"""Identity of an MLflow run: the tags by which a repeated stage resumes its run, started exactly once.

The runs of stages are nested in one parent run a pipeline run; KFP's MLflow plugin has one of its own.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any

from components.lib.core.errors import TrunklineError
from components.lib.core.patience import patiently
from components.lib.registry.tracking.server import connect, experiment, explained
from components.lib.storage.stage import Context

LIMITS = {"param": 6_000, "tag": 8_000, "name": 250}  # MLflow's, in characters
START = "trunkline.start"  # the tag of one call that started a run, and perhaps its double
PIPELINE_RUN = "kfp.pipeline_run_id"  # the tag that KFP's own MLflow plugin uses
WHOLE = "trunkline.run"  # the tag of the parent run
PARENT = "mlflow.parentRunId"  # the tag by which MLflow's UI nests runs


def conclude(context: Context, key: str, status: str) -> None:
    """Ends the run of a process that could not do so itself, because it was killed."""
    if not context.tracking_uri:
        return
    try:
        client, tags = connect(context.tracking_uri), identity(context, key)
        with explained(context.tracking_uri):
            runs = _runs(client, [experiment(client, _experiment(context))], tags)
            run = _resumable(runs, context.run_id)
            if run is not None and run.info.status == "RUNNING":
                client.set_terminated(run.info.run_id, status)
    except TrunklineError as error:
        print(f"tracking: the run could not be marked as {status}: {error.what}", flush=True)


def adopt(context: Context, key: str, reference: str, maker: str, name: str) -> None:
    """Gives this pipeline run a finished MLflow run that says that it took what another one had made.

    Args:
        key: by which the run that made it is known; where that is one of this pipeline run, nothing is done.
        reference: of what was taken.
        maker: the pipeline run that made it.
        name: shown in the list of runs.
    """
    if not context.tracking_uri:
        return
    try:
        client, tags = connect(context.tracking_uri), identity(context, "")
        with explained(context.tracking_uri):
            place, adopted = experiment(client, _experiment(context)), {"trunkline.adopted": reference}
            runs = _runs(client, [place], identity(context, key)) + _runs(
                client, [place], {**tags, **adopted}
            )
            if any(run.data.tags.get(PIPELINE_RUN) == context.run_id for run in runs):
                return
            note = f"Adopted: run {maker} had made the same, {reference}."
            told = {**adopted, "trunkline.made_by": maker, "mlflow.note.content": note}
            run = resume_or_start(client, context, {**tags, **told}, name)
            client.set_terminated(run.info.run_id, "FINISHED")
    except TrunklineError as error:
        print(f"tracking: it is not told that {reference} was adopted: {error.what}", flush=True)


def identity(context: Context, key: str) -> dict[str, str]:
    """The tags by which a run is found again."""
    tags = {"trunkline.stage": context.stage, "trunkline.task": context.task, "trunkline.key": key}
    return {name: value for name, value in tags.items() if value}


def resume_or_start(
    client: Any, context: Context, tags: dict[str, str], name: str, *, earlier: bool = False
) -> Any:
    """The ambient run of KFP's plugin; else the run of the same work, begun earlier; else a new one.

    A run of another pipeline run is resumed only if it has not finished: the stage was killed then. With
    `earlier`, the work is that of an earlier stage: its newest run as it is, whichever pipeline run began it.
    """
    ambient = _ambient(context)
    with explained(context.tracking_uri):
        if earlier:  # in any experiment: the plugin has its own
            places = [found.experiment_id for found in client.search_experiments()]
            if runs := _runs(client, places, tags):
                return runs[0]
        elif ambient:
            return _resumed(client, client.get_run(ambient), context, tags)
        experiment_id = experiment(client, _experiment(context))
        run = None if earlier else _resumable(_runs(client, [experiment_id], tags), context.run_id)
        nested = {**tags, PARENT: whole(client, context)}
        if run is not None:
            return _resumed(client, run, context, nested)
        return _started(client, experiment_id, {**nested, **_details(context)}, name)


def whole(client: Any, context: Context) -> str:
    """The id of the pipeline run's own run, in which those of its stages are nested; made if need be."""
    with explained(context.tracking_uri):
        if ambient := _ambient(context):
            parent = str(client.get_run(ambient).data.tags.get(PARENT, ambient))
            client.set_tag(parent, WHOLE, context.run_id)
            return parent
        place, mine = experiment(client, _experiment(context)), {WHOLE: context.run_id}
        if not (runs := _runs(client, [place], mine)):
            name = str(context.details.get("run_name") or context.run_id)
            tags = {**mine, **_details(context), "mlflow.note.content": _note(context)}
            client.create_run(place, tags=tags, run_name=cut(name, "name"))
            runs = _runs(client, [place], mine)  # whoever asks twice, or at the same time, has made two
        first, *others = sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))
        for other in others:
            client.delete_run(other.info.run_id)
        return str(first.info.run_id)


def finish(context: Context) -> None:
    """Ends the run of `whole`, as all of its stages have ended well; KFP's MLflow plugin ends its own."""
    if not context.tracking_uri or _ambient(context):
        return

    def end() -> None:
        client = connect(context.tracking_uri)
        with explained(context.tracking_uri):
            client.set_terminated(whole(client, context), "FINISHED")

    patiently(end, context.stage)


def _note(context: Context) -> str:
    """The description of a parent run: Markdown with a link, where the address of Kubeflow's UI is known."""
    page, name = context.details.get("page"), context.details.get("run_name") or context.run_id
    return f"The whole run: [{name} in Kubeflow]({page})" if page else f"The whole run {context.run_id}"


def _ambient(context: Context) -> str:
    """The run of this step that KFP's MLflow plugin has opened on the same server; empty without it."""
    same = os.environ.get("MLFLOW_TRACKING_URI", context.tracking_uri) == context.tracking_uri
    return os.environ.get("MLFLOW_RUN_ID", "") if same else ""


def _resumed(client: Any, run: Any, context: Context, tags: dict[str, str]) -> Any:
    from mlflow.entities import RunTag

    texts = {**tags, **_details(context)}
    client.log_batch(run.info.run_id, tags=[RunTag(*pair) for pair in texts.items()])
    client.update_run(run.info.run_id, status="RUNNING")
    return _single(client, run)


def _started(client: Any, experiment_id: str, tags: dict[str, str], name: str) -> Any:
    mark = {START: uuid.uuid4().hex}
    return _single(client, client.create_run(experiment_id, tags={**tags, **mark}, run_name=name))


def _single(client: Any, run: Any) -> Any:
    """The run without its double: the client asks again when an answer is lost, and then there are two.

    Also when it is resumed: what began it may have failed before it had deleted the other.
    """
    if start := run.data.tags.get(START):
        for other in _runs(client, [run.info.experiment_id], {START: start}):
            if other.info.run_id != run.info.run_id:
                client.delete_run(other.info.run_id)
    return run


def _runs(client: Any, experiments: list[str], tags: Mapping[str, str]) -> list[Any]:
    """Runs with these tags, newest first."""
    query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    return list(client.search_runs(experiments, query, order_by=["attributes.start_time DESC"]))


def _resumable(runs: list[Any], run_id: str) -> Any:
    """That of the same pipeline run, else one that has not finished."""
    same = [run for run in runs if run.data.tags.get(PIPELINE_RUN) == run_id]
    return next(iter(same + [run for run in runs if run.info.status != "FINISHED"]), None)


def _experiment(context: Context) -> str:
    return str(context.details.get("preset") or "trunkline")


def _details(context: Context) -> dict[str, str]:
    details = {
        f"trunkline.{name}": cut(str(value), "tag") for name, value in context.details.items() if value
    }
    details |= {
        PIPELINE_RUN: context.run_id,
        "mlflow.source.name": f"trunkline {context.stage}",
        "mlflow.source.type": "JOB",
    }
    if context.details.get("git"):
        details["mlflow.source.git.commit"] = str(context.details["git"])
    return details


def cut(text: str, kind: str) -> str:
    """`text` in as many characters as MLflow takes for that kind."""
    limit = LIMITS[kind]
    return text if len(text) <= limit else text[: limit - 3] + "..."
