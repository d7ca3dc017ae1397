"""Resources of each stage on a cluster: image, processors, accelerators, disk, secrets, time limit, retries.

All of it is decided when a graph is compiled, by the file of `pipelines/cluster.py`. KFP's own cache stays
off: the store is the cache, and it knows the content of what it holds.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kfp import dsl, kubernetes

from components.lib.core import hardware, notifications
from images import contents
from pipelines.cluster import Cluster, load, whole

SCRATCH, PRESETS = "/scratch", "/presets"
SHIPPED = "/opt/trunkline/presets"  # in the image
# Everything that a library may write to: the rest of the container can be read-only.
WRITABLE = {
    "TMPDIR": SCRATCH,
    "HOME": SCRATCH,
    "HF_HOME": f"{SCRATCH}/huggingface",
    "TRUNKLINE_CACHE": f"{SCRATCH}/trunkline",
}
VOLUME = "scratch"
# The MLflow plugin of KFP 2.17 gives this variable a value. Argo would lay ours, which has a source, over it,
# and Kubernetes refuses a variable with both.
RENAMED = {"MLFLOW_TRACKING_URI": "TRUNKLINE_TRACKING_URI"}
# KFP calls it the longest wait. Argo, which gets it, counts it from the start of the first attempt: after it
# none is made, and one that runs is ended. Each attempt has a limit of its own, `Needs.hours`.
WINDOW = "87600h"


@functools.cache
def cluster() -> Cluster:
    """The cluster of this process: graphs are built once, when they are imported."""
    return load()


def placed(component: Any) -> Callable[..., Any]:
    """The component with the place of its stage on the cluster.

    `TRUNKLINE_LOCAL` leaves it out: KFP ignores it locally. Only the image is set where it says `containers`.
    """
    stage = stage_of(component)

    def task(**inputs: Any) -> dsl.PipelineTask:
        local = os.environ.get("TRUNKLINE_LOCAL")  # when the graph is built, not when this is imported
        made = component(**inputs)
        made.set_caching_options(False)
        if local == "containers":
            made.set_container_image(contents.name(stage, cluster().images))
        elif not local:
            with _names_of_callers():
                _place(made, stage, contents.name(stage, cluster().images), cluster())
        return made

    return task


@contextlib.contextmanager
def _names_of_callers() -> Iterator[None]:
    """Gives KFP the names of its callers without their sources.

    It calls `inspect.stack()` at every setting of a task, for one name. That looks for the source of each
    frame in all modules: a second a graph, and half a minute where a process has loaded many.
    """

    def stack(context: int = 0) -> list[tuple[Any, ...]]:
        frames = traceback.walk_stack(sys._getframe(1))
        return [(frame, frame.f_code.co_filename, line, frame.f_code.co_name) for frame, line in frames]

    original, inspect.stack = inspect.stack, stack  # type: ignore[assignment]
    try:
        yield
    finally:
        inspect.stack = original


def _place(task: dsl.PipelineTask, stage: str, image: str, where: Cluster) -> None:
    needs = where.needs(stage)
    task.set_container_image(image)
    task.set_cpu_request(needs.cpu).set_memory_request(needs.memory).set_memory_limit(needs.memory)
    if needs.accelerators:
        task.set_accelerator_type(where.accelerator).set_accelerator_limit(needs.accelerators)
    if needs.retries:
        task.set_retry(needs.retries, backoff_duration="60s", backoff_factor=1, backoff_max_duration=WINDOW)
    kubernetes.set_timeout(task, round(needs.hours * 3600))
    kubernetes.set_security_context(task, run_as_user=where.user, run_as_non_root=True)
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "trunkline")
    kubernetes.add_pod_label(task, "app.kubernetes.io/component", stage)
    pool = where.pool(stage)
    for label, value in sorted(pool.node_selector.items()):
        kubernetes.add_node_selector(task, label, value)
    for toleration in pool.tolerations:
        kubernetes.add_toleration(task, **{name: text for name, text in vars(toleration).items() if text})
    if where.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, list(where.image_pull_secrets))
    _equip(task, stage, image, where)


def _equip(task: dsl.PipelineTask, stage: str, image: str, where: Cluster) -> None:
    """Variables and volumes. What is named and missing is left out: a stage says itself what it lacks."""
    needs = where.needs(stage)
    if where.scratch_class:
        modes, kind = ["ReadWriteOnce"], where.scratch_class
        kubernetes.add_ephemeral_volume(task, VOLUME, SCRATCH, modes, needs.scratch, storage_class_name=kind)
    else:
        kubernetes.empty_dir_mount(task, VOLUME, SCRATCH, size_limit=needs.scratch)
    variables = {**WRITABLE, "TRUNKLINE_IMAGE": image, hardware.CPUS: str(whole(needs.cpu))}
    for name, value in variables.items():
        task.set_env_variable(name, value)
    if needs.accelerators:
        task.set_env_variable(hardware.ACCELERATORS, str(needs.accelerators))
        # NCCL and data loaders share memory, of which containers have 64 MB.
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory")
    if where.presets and stage == "preflight":
        kubernetes.use_config_map_as_volume(task, where.presets, PRESETS, optional=True)
        task.set_env_variable("TRUNKLINE_PRESETS", f"{PRESETS}:{SHIPPED}")
    if where.notify.secret and stage == "closing":
        kubernetes.use_secret_as_env(
            task, where.notify.secret, {where.notify.key: notifications.URL}, optional=True
        )
        task.set_env_variable(notifications.ON, ",".join(where.notify.on))
        task.set_env_variable(notifications.FORM, where.notify.form)
    for secret, keys in sorted(where.secrets.items()):
        kubernetes.use_secret_as_env(task, secret, _renamed(keys), optional=True)
    for config_map, keys in sorted(where.config_maps.items()):
        kubernetes.use_config_map_as_env(task, config_map, _renamed(keys), optional=True)


def _renamed(keys: Iterable[str]) -> dict[str, str]:
    """Key of a Secret or ConfigMap -> the variable that it becomes."""
    return {key: RENAMED.get(key, key) for key in keys}


def stage_of(component: Any) -> str:
    """The stage that a component is the interface of: the name of its folder."""
    stage: str = component.python_func.__module__.split(".")[1]
    return stage
