"""Settings of finetuning, one set a task; those of modality, mode and task stand among them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from components.lib import modalities
from components.lib.core import plugins
from components.lib.core.errors import ConfigError, ConfigErrors, TrunklineError
from components.lib.core.settings import did_you_mean, from_dict, part, setting
from components.lib.tasks import LENGTH, MISSING

MODES = "components.lib.modes"
STARTS = "components.lib.starts"
TASKS = "components.lib.tasks"


@dataclass(frozen=True)
class Labelled:
    """Where labelled records come from.

    Attributes:
        fields: role of the task -> column.
    """

    source: str = setting(help="URI of the records: a path, s3://, https://, hf:, pypi:, sample:")
    format: str = setting("auto", "file of components/lib/data/formats, or auto: by the file's ending")
    format_options: dict[str, dict[str, Any]] = setting({}, "options by format, e.g. {csv: {delimiter: ;}}")
    encoding: str = setting("auto", "encoding of text files; auto detects it")
    share: float = setting(1.0, "share of the records that count, chosen by hash", minimum=0, maximum=1)
    group: str = setting("", "field of what must not be both trained on and tested: patient, speaker, thread")
    fields: dict[str, str] = part()


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every run of a task has the same model and budget; each start has the rate that suits it.

    Attributes:
        own: the modality's `Finetuning`.
        adaptation: the mode's `Config`.
        labels: the task's `Config`.
    """

    task: str = setting(help="name of the task; the branch is registered as <trunk>-<task>")
    modality: str = setting(help="kind of data: a folder of components/lib/modalities")
    kind: str = setting(help="file of components/lib/tasks")
    train: Labelled | None = setting(None, "labelled records to learn from")
    test: Labelled = setting(help="labelled records that are frozen and scored, never trained on")
    label_counts: tuple[float, ...] = setting(
        (100, 1000), "labelled examples a run may see: counts, or shares if <= 1", minimum=1e-6
    )
    seeds: tuple[int, ...] = setting((0, 1, 2, 3, 4), "each draws its own nested subsets and head", minimum=0)
    starts: tuple[str, ...] = setting(
        ("trunk", "linear", "random"), "what is compared, on the same examples: components/lib/starts"
    )
    start_options: dict[str, dict[str, Any]] = setting({}, "options by start")
    mode: str = setting("full", "how a branch learns: a file of components/lib/modes")
    steps: int = setting(
        200, "most optimizer steps a run; held-out training labels choose how many", minimum=1
    )
    batch: int = setting(32, "examples a step", minimum=1)
    learning_rates: tuple[float, ...] = setting(
        (1e-3,),
        "peak rates; of several, held-out training labels choose for each start",
        minimum=0.0,
        maximum=10.0,
    )
    warmup: float = setting(0.1, "share of the steps in which the rate rises", minimum=0.0, maximum=1.0)
    weight_decay: float = setting(0.01, "AdamW's, on matrices only", minimum=0.0, maximum=10.0)
    test_examples: int = setting(2000, "how many test records are frozen; 0 = all", minimum=0)
    slices: tuple[str, ...] = setting(
        (), "fields of test records, or `length`, by whose values metrics are told and the gate judges"
    )
    reject_budget: float = setting(
        0.01, "share of unusable records beyond which the stage fails", minimum=0.0, maximum=1.0
    )
    precision: str = setting("auto", "bf16 where the device has it", choices=("auto", "fp32", "tf32", "bf16"))
    missing: tuple[str, ...] = setting(
        MISSING, "words in place of a class that say that a record has no label; []: each is a class"
    )
    own: Any = part()
    adaptation: Any = part()
    labels: Any = part()

    def check(self) -> Iterator[TrunklineError]:
        """What spans several fields."""
        for name in ("label_counts", "seeds", "starts", "learning_rates"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                yield ConfigError(
                    "a list is empty or repeats itself", where=f"finetuning.{name}", found=values
                )
        for name in self.starts:
            if name not in (known := plugins.names(STARTS)):
                where, fix = f"tasks.{self.task}.finetuning.starts", did_you_mean(name, known)
                yield ConfigError("there is no such start", where=where, found=name, fix=fix)
        yield from self._start_options()
        yield from self._slices()
        if "trunk" not in self.starts:
            yield ConfigError(
                "the branch comes from the trunk",
                where="finetuning.starts",
                found=self.starts,
                expected="trunk",
            )
        if self.train is None and plugins.declared(TASKS, self.kind).constants.get("TRAINS", True):
            what = "the task learns from labels, and none are named"
            yield ConfigError(what, where=f"tasks.{self.task}.train", expected="{source: ...}")

    def _slices(self) -> Iterator[TrunklineError]:
        where = f"tasks.{self.task}.slices"
        if len(set(self.slices)) != len(self.slices):
            yield ConfigError("a slice is named twice", where=where, found=self.slices)
        if LENGTH in self.slices and not hasattr(modalities.load(self.modality), "LENGTH"):
            what, fix = f"records of the modality {self.modality} have no length", "leave it out"
            yield ConfigError(what, where=where, found=self.slices, fix=fix)

    def _start_options(self) -> Iterator[TrunklineError]:
        """Options of starts that do not take part, or that they do not know."""
        where = f"tasks.{self.task}.finetuning.start_options"
        for name, options in self.start_options.items():
            kind = plugins.declared(STARTS, name).config if name in self.starts else None
            if kind is None:
                fix = "name it among the starts" if name not in self.starts else "it has none: leave them out"
                yield ConfigError("options of no start", where=where, found=name, fix=fix)
                continue
            try:
                from_dict(kind, options, f"{where}.{name}")
            except ConfigErrors as errors:
                yield from errors.errors


def configured(values: Mapping[str, Any], where: str) -> Config:
    """The checked settings for the modality, mode and kind of task that they name; raises ConfigError."""
    modality = str(values.get("modality", ""))
    settings, kind = (
        modalities.load(modality, "settings"),
        values.get("kind") or modalities.load(modality).TASK,
    )
    task = _declared(TASKS, str(kind), f"{where.removesuffix('.finetuning')}.kind")
    mode = _declared(MODES, str(values.get("mode", "full")), f"{where}.mode")
    parts = {"own": settings.Finetuning, "adaptation": mode.config or {}, "fields": task.constants["ROLES"]}
    parts["labels"] = task.config or {}
    return from_dict(Config, {**values, "kind": kind}, where, parts)


def _declared(package: str, name: str, where: str) -> plugins.Declaration:
    try:
        return plugins.declared(package, name)
    except ConfigError as error:
        error.where = where
        raise
