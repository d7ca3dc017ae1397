"""Removal of what an acceptance has made: each thing apart, so that one that fails keeps no other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from components.lib.core.errors import MissingError
from pipelines import submit
from pipelines.compile import PREFIX
from tests.acceptance.asking import Asking

PATIENCE = 180.0  # seconds that runs may take to end


def remove(asking: Asking) -> list[str]:
    """Removes it all, in an order in which nothing starts anew; returns what is left, and why."""
    left: list[str] = []
    try:
        for what, act in _acts(asking):
            _try(what, act, left)
    except Exception as error:
        left.append(f"what there is cannot be seen: {' '.join(str(error).split())[:200]}")
    _try(f"pod {asking.inside.name}", asking.inside.end, left)
    return left


def _try(what: str, act: Callable[[], object], left: list[str]) -> None:
    try:
        act()
    except MissingError:
        return  # it is gone already
    except Exception as error:  # one that fails keeps no other
        left.append(f"{what}: {' '.join(str(error).split())[:200]}")


def _acts(asking: Asking) -> Iterator[tuple[str, Callable[[], object]]]:
    server, inside = asking.server, asking.inside
    if asking.known:  # else nothing was made but, perhaps, the pod that asks
        recurring = [one.recurring_run_id for one in server.all_recurring_runs() if _ours(asking, one)]
        for one in recurring:
            yield f"disabling recurring run {one}", lambda one=one: server.disable_recurring_run(one)
        runs = {str(one.run_id): one for one in _recent(asking) if _ours(asking, one)}
        live = [run_id for run_id in runs if asking.state(run_id) not in submit.ENDS]
        for run_id in live:
            yield f"terminating run {run_id}", lambda run_id=run_id: server.terminate_run(run_id)
        for run_id in runs:
            yield f"end of run {run_id}", lambda run_id=run_id: _ended(asking, run_id)
            for job in asking.site.trainjobs(run_id):
                name = job["metadata"]["name"]
                yield f"TrainJob {name}", lambda name=name: asking.site.delete_trainjob(name)
        for one in recurring:
            yield f"recurring run {one}", lambda one=one: server.delete_recurring_run(one)
        for run_id in runs:
            yield f"run {run_id}", lambda run_id=run_id: server.delete_run(run_id)
        yield from _published(asking, {_version(one) for one in runs.values()})
        words = (inside.tracking_uri, list(runs), inside.name, asking.known["mlflow"])
        yield "runs and models in MLflow", lambda: inside.ask("forget", *words)
        yield f"the store {inside.store}", lambda: inside.ask("remove", inside.store)


def _recent(asking: Asking) -> list[Any]:
    """Runs since we came: what was interrupted between a start and its note is found as well."""
    words = {"sort_by": "created_at desc", "page_size": 100, "namespace": asking.server.namespace or None}
    return list(asking.server.list_runs(**words).runs or ())


def _ours(asking: Asking, one: Any) -> bool:
    """A run, or recurring run, whose model has our name."""
    given = (one.runtime_config.parameters if one.runtime_config else None) or {}
    return (given.get("overrides") or {}).get("registration.name") == asking.inside.name


def _version(run: Any) -> tuple[str, str]:
    reference = run.pipeline_version_reference
    return str(reference.pipeline_id), str(reference.pipeline_version_id)


def _ended(asking: Asking, run_id: str) -> None:
    """Waits for the end of a run: what is deleted alive leaves its TrainJob behind."""
    end = time.monotonic() + PATIENCE
    while asking.state(run_id) not in submit.ENDS and time.monotonic() < end:
        time.sleep(asking.every)


def _published(asking: Asking, versions: set[tuple[str, str]]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Versions, the pipeline and the experiment, where they were not there before us."""
    server = asking.server
    pipeline_id = server.pipeline(f"{PREFIX}training")
    there = server.versions(pipeline_id) if pipeline_id else []
    by_hand = [one.pipeline_version_id for one in there if one.display_name == asking.inside.name]
    versions |= {(pipeline_id, version) for version in by_hand}
    runs = [one for one in _recent(asking) if str(one.state) not in submit.ENDS]
    others = {_version(one) for one in [*runs, *server.all_recurring_runs()] if not _ours(asking, one)}
    made = {ids for ids in versions if ids[1] not in asking.known["versions"]}
    asking.used += [f"version {ids[1]}" for ids in sorted(made & others)]
    for ids in sorted(made - others):
        yield f"version {ids[1]}", lambda ids=ids: server.delete_pipeline_version(*ids)
    if pipeline_id and pipeline_id not in asking.known["pipelines"] and not server.versions(pipeline_id):
        yield f"pipeline {pipeline_id}", lambda: server.delete_pipeline(pipeline_id)
    experiments = server._listed("experiments", server.list_experiments, namespace=server.namespace)
    for one in experiments:
        new = one.experiment_id not in asking.known["experiments"]
        if new and one.display_name == submit.EXPERIMENT and _empty(asking, one.experiment_id):
            yield (
                f"experiment {one.display_name}",
                lambda one=one: server.delete_experiment(one.experiment_id),
            )


def _empty(asking: Asking, experiment_id: str) -> bool:
    """Whether an experiment has no run of others, such as another acceptance's; else it stays."""
    words = {"experiment_id": experiment_id, "page_size": 1, "namespace": asking.server.namespace or None}
    found = asking.server.list_runs(**words).runs or ()
    asking.used += ["the experiment"] if found else []
    return not found
