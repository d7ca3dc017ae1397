"""Whether the accelerators that a cluster keeps for this process are to be seen."""

from __future__ import annotations

import os

from components.lib.core.errors import ConfigError

KEPT = "TRUNKLINE_ACCELERATORS"  # how many: from the file of the cluster, or the resources of a TrainJob


def check() -> None:
    """Raises ConfigError if fewer are seen: the work would be done by processors, at the price of both."""
    kept = int(os.environ.get(KEPT) or 0)
    if not kept:
        return
    import torch

    if torch.cuda.device_count() < kept:
        raise ConfigError(
            "accelerators that are kept for this work are not seen",
            where="accelerators of the cluster's file, or pretraining.launch.resources",
            found=f"{torch.cuda.device_count()}, by torch {torch.__version__}", expected=str(kept),
            fix="images built without TORCH_INDEX have CUDA; else see the node's driver and device plugin",
        )  # fmt: skip
