"""Settings of evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import ConfigError, ConfigErrors, TrunklineError
from components.lib.core.settings import did_you_mean, from_dict, setting

COMPRESSIONS = "components.lib.compressions"


@dataclass(frozen=True)
class Config:
    """How a branch is scored.

    Attributes:
        model: name under which the branch is registered; its `champion` is scored on the same examples.
        replicates: bootstrap resamplings behind each interval.
        confidence: of the intervals, two-sided.
        seed: of the resampling.
        batch_size: examples a forward pass.
        explain: answers, right and wrong, whose words or pixels are explained.
        compress: variants that are made of the branch, and scored on the same examples.
    """

    model: str = setting(help="the registered model whose champion the branch is compared with")
    replicates: int = setting(2000, "bootstrap resamplings", minimum=100, maximum=100_000)
    confidence: float = setting(0.95, "of the intervals", minimum=0.5, maximum=0.999)
    seed: int = setting(0, "of the resampling", minimum=0)
    batch_size: int = setting(64, "examples a forward pass", minimum=1)
    explain: int = setting(2, "answers that are explained by integrated gradients", minimum=0, maximum=100)
    compress: tuple[str, ...] = setting(
        (), "smaller or faster variants, registered as <model>-<name>: files of components/lib/compressions"
    )
    compress_options: dict[str, dict[str, Any]] = setting({}, "options by compression")

    def check(self) -> Iterator[TrunklineError]:
        """Names of compressions, and their options."""
        known = plugins.names(COMPRESSIONS)
        for name in self.compress:
            if name not in known:
                what, fix = "there is no such compression", did_you_mean(name, known)
                yield ConfigError(what, where="evaluation.compress", found=name, fix=fix)
        for name, options in self.compress_options.items():
            where = f"evaluation.compress_options.{name}"
            if name not in self.compress:
                fix = "name it in evaluation.compress"
                yield ConfigError("options of no compression", where=where, found=name, fix=fix)
                continue
            kind = plugins.declared(COMPRESSIONS, name).config
            try:
                from_dict(kind, options, where) if kind else None
            except ConfigErrors as errors:
                yield from errors.errors
