"""Where each stage runs on a cluster: image, processors, memory, accelerators.

KFP's own cache stays off: the store is the cache, and it knows the content of what it holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kfp import dsl


@dataclass(frozen=True)
class Resources:
    """Kubernetes quantities that the scheduler keeps free; memory is also the ceiling."""

    cpu: str
    memory: str
    accelerators: int = 0


RESOURCES = {
    "preflight": Resources("500m", "512Mi"),
    "ingestion": Resources("4", "8Gi"),
    "tokenization": Resources("4", "8Gi"),
    "pretraining": Resources("8", "32Gi", accelerators=1),
    "registration": Resources("1", "4Gi"),
    "finetuning": Resources("4", "16Gi", accelerators=1),
    "evaluation": Resources("4", "16Gi", accelerators=1),
    "promotion": Resources("1", "4Gi"),
    "closing": Resources("500m", "512Mi"),
}


def placed(component: Any) -> Callable[..., Any]:
    """The component with the image and resources of its stage.

    The environment decides when a graph is compiled: `TRUNKLINE_IMAGES` is the pattern of an image, such as
    `registry.example/team/{image}:1.4`; `TRUNKLINE_ACCELERATOR` a resource, such as `nvidia.com/gpu`, without
    which no stage asks for one. `TRUNKLINE_LOCAL` leaves all this out: KFP ignores it locally, and takes
    2 seconds to set it.
    """
    needs = RESOURCES[stage_of(component)]
    image = component.component_spec.implementation.container.image

    def task(**inputs: Any) -> dsl.PipelineTask:
        made = component(**inputs)
        made.set_caching_options(False)
        if os.environ.get("TRUNKLINE_LOCAL"):
            return made
        made.set_container_image(os.environ.get("TRUNKLINE_IMAGES", "{image}").format(image=image))
        made.set_cpu_request(needs.cpu).set_memory_request(needs.memory).set_memory_limit(needs.memory)
        accelerator = os.environ.get("TRUNKLINE_ACCELERATOR", "")
        if accelerator and needs.accelerators:
            made.set_accelerator_type(accelerator).set_accelerator_limit(needs.accelerators)
        return made

    return task


def stage_of(component: Any) -> str:
    """The stage that a component is the interface of: the name of its folder."""
    stage: str = component.python_func.__module__.split(".")[1]
    return stage
