"""Settings of pretraining."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.lib.core.errors import ConfigError
from components.lib.core.settings import setting

# How and where it is computed, not what.
MECHANICS = (
    "nproc",
    "threads",
    "checkpoint_every",
    "micro_batch",
    "parallel",
    "recompute",
    "compile",
    "launcher",
    "launch",
    "restarts",
    "hang_seconds",
)


@dataclass(frozen=True)
class Config:
    """What is trained, on how much, how fast; the rest is derived."""

    modality: str = setting("text", "kind of data: a file of components/lib/modalities")
    trunk: dict[str, Any] = setting({}, "options of the modality: architecture, size, sequence_length, ...")
    start: str = setting(
        "",
        "alias of a trunk (champion), published weights (hf:, pypi:, s3://, a folder), or spectral, by the "
        "corpus; empty: random",
    )
    replay: float = setting(
        0.5, "share of each batch from the data of the trunk it starts from", minimum=0.0, maximum=0.95
    )
    objective: dict[str, Any] = setting(
        {"masked_lm": {}}, "name -> options; several are added, each times its option `weight`"
    )
    steps: int = setting(1000, "optimizer steps; 0 takes published weights as they are", minimum=0)
    minutes: float = setting(
        0.0,
        "train for so long instead of `steps`, whose number a short measurement fixes; 0: by steps",
        minimum=0,
    )
    global_batch: int = setting(256, "samples a step, over all processes", minimum=2)
    micro_batch: int = setting(0, "the most samples a process takes at once; 0 = its whole share", minimum=0)
    learning_rate: float = setting(1e-3, "peak rate", minimum=0.0, maximum=10.0)
    schedule: str = setting("cosine", "shape of the rate after warm-up", choices=("cosine", "wsd", "linear"))
    warmup: float = setting(0.05, "share of the steps in which the rate rises", minimum=0.0, maximum=1.0)
    optimizer: str = setting("adamw", "lars scales each matrix's rate by its size", choices=("adamw", "lars"))
    weight_decay: float = setting(0.01, "on matrices only", minimum=0.0, maximum=10.0)
    beta2: float = setting(0.98, "AdamW's second decay rate", minimum=0.5, maximum=0.99999)
    clip: float = setting(1.0, "largest norm of the gradient", minimum=1e-6)
    spike: float = setting(
        10.0, "a gradient this many times the usual one is skipped; 0 = never", minimum=0.0
    )
    precision: str = setting("auto", "bf16 where the device has it", choices=("auto", "fp32", "tf32", "bf16"))
    seed: int = setting(0, "of weights, order and masks", minimum=0)
    evaluate_every: int = setting(0, "steps between validations; 0 = ten times a run", minimum=0)
    validation_samples: int = setting(1024, "held-out samples that are measured", minimum=1)
    checkpoint_every: int = setting(0, "steps between checkpoints; 0 = twenty times a run", minimum=0)
    launcher: str = setting("local", "where: a file of components/pretraining/launchers")
    launch: dict[str, Any] = setting({}, "options of the launcher")
    restarts: int = setting(3, "new starts in a row that come no further, before it is given up", minimum=0)
    hang_seconds: int = setting(300, "time without a step after which processes count as hung", minimum=1)
    parallel: str = setting(
        "auto", "the model whole on each process, or cut among them", choices=("auto", "ddp", "fsdp")
    )
    recompute: bool = setting(False, "activations in the backward pass: slower, in less memory")
    compile: bool = setting(False, "each layer, by torch.compile; needs a C++ compiler")
    nproc: int = setting(1, "processes on a machine; 0 = one a GPU or core", minimum=0, maximum=1024)
    threads: int = setting(0, "CPU threads a process; 0 = all cores shared out", minimum=0)

    def check(self) -> Iterator[ConfigError]:
        """What spans several fields."""
        if not self.steps and not self.minutes and not self.start:
            what, fix = "without a step there is nothing but random weights", "name `start`, or more steps"
            yield ConfigError(what, where="pretraining.steps", found=0, fix=fix)
        if not self.objective and (self.steps or self.minutes):
            yield ConfigError("no objective is named", where="pretraining.objective", expected="at least one")
        if self.nproc and self.global_batch % self.nproc:
            yield ConfigError(
                "the global batch cannot be shared out evenly",
                where="pretraining.global_batch",
                found=self.global_batch,
                expected=f"a multiple of nproc = {self.nproc}",
            )
