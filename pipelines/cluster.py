"""Settings of a cluster: images, node pools, resources and secrets of each stage; a file of `clusters/`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components import STAGES
from components.lib.core.errors import ConfigError
from components.lib.core.notifications import FORMS, KINDS
from components.lib.core.settings import did_you_mean, from_dict, setting
from components.preflight.settings import parse

FOLDER = Path(__file__).parent / "clusters"
POOLS = ("cpu", "accelerator")
_QUANTITY = re.compile(r"\d+(\.\d+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
OWN = (  # variables that every stage gets from us
    "HF_HOME HOME TMPDIR TRUNKLINE_ACCELERATORS TRUNKLINE_CACHE TRUNKLINE_CPUS TRUNKLINE_IMAGE "
    "TRUNKLINE_PRESETS"
).split()
EFFECTS = ("", "NoSchedule", "PreferNoSchedule", "NoExecute")


@dataclass(frozen=True)
class Needs:
    """What a stage asks of a node; what is left out is the stage's default."""

    cpu: str = setting("", "processors that are kept free, such as 8 or 500m")
    memory: str = setting("", "memory that is kept free, and the ceiling, such as 32Gi")
    accelerators: int = setting(-1, "of the cluster's kind", minimum=-1)
    scratch: str = setting("", "disk for what is under way, such as 100Gi")
    hours: float = setting(0.0, "after which Kubernetes stops the stage", minimum=0.0)
    retries: int = setting(-1, "of the pod; KFP drops them inside loops", minimum=-1, maximum=20)

    def over(self, default: Needs) -> Needs:
        """These needs, with the default's where nothing is said."""
        unsaid = Needs()
        said = {k: v for k, v in vars(self).items() if v != getattr(unsaid, k)}
        return replace(default, **said)


NEEDS = {
    "preflight": Needs("500m", "2Gi", 0, "1Gi", 0.5, 0),
    "ingestion": Needs("4", "8Gi", 0, "50Gi", 24, 2),
    "tokenization": Needs("4", "8Gi", 0, "50Gi", 24, 2),
    "pretraining": Needs("8", "32Gi", 1, "50Gi", 168, 5),
    "registration": Needs("1", "4Gi", 0, "20Gi", 1, 2),
    "finetuning": Needs("4", "16Gi", 1, "20Gi", 24, 0),
    "evaluation": Needs("4", "16Gi", 1, "20Gi", 4, 0),
    "promotion": Needs("1", "4Gi", 0, "20Gi", 1, 2),
    "closing": Needs("500m", "512Mi", 0, "1Gi", 0.25, 2),
}


@dataclass(frozen=True)
class Toleration:
    """A taint that the pods of a pool tolerate, as Kubernetes writes it."""

    key: str = setting("", "of the taint; empty: every key")
    operator: str = setting("Equal", "how the value is compared", choices=("Equal", "Exists"))
    value: str = setting("", "of the taint")
    effect: str = setting("", "of the taint; empty: every effect", choices=EFFECTS)


@dataclass(frozen=True)
class Pool:
    """Nodes for the stages without (`cpu`) or with (`accelerator`) accelerators."""

    node_selector: dict[str, str] = setting({}, "labels that a node must have")
    tolerations: tuple[Toleration, ...] = setting((), "taints that do not keep the pods away")


@dataclass(frozen=True)
class Notify:
    """Who is told of a run's end; the URL is a key of a Secret, which closing alone gets."""

    secret: str = setting("", "Secret that holds the URL; empty: nobody is told")
    key: str = setting("url", "its key")
    on: tuple[str, ...] = setting(KINDS, f"which ends: {', '.join(KINDS)}")
    form: str = setting(FORMS[0], "what is posted", choices=FORMS)


@dataclass(frozen=True)
class Cluster:
    """Where graphs run. Nothing secret stands here: Secrets are named, and their keys are variables."""

    images: str = setting("{image}:{tag}", "pattern of an image, such as registry.example/team/{image}:{tag}")
    image_pull_secrets: tuple[str, ...] = setting((), "Secrets for a private registry")
    service_account: str = setting("", "of the runs that are submitted and scheduled; empty: KFP's own")
    accelerator: str = setting("", "resource, such as nvidia.com/gpu; empty: no stage asks for one")
    pools: dict[str, Pool] = setting({}, "cpu and accelerator: where their stages may run")
    secrets: dict[str, tuple[str, ...]] = setting({}, "Secret -> its keys that become variables")
    config_maps: dict[str, tuple[str, ...]] = setting({}, "ConfigMap -> its keys that become variables")
    notify: Notify = setting(Notify(), "who is told of a run's end")
    presets: str = setting("", "ConfigMap of presets that come before those of the image")
    scratch_class: str = setting("", "storage class of scratch volumes; empty: disk of the node")
    user: int = setting(1001, "user of the containers, as the images are built", minimum=1)
    stages: dict[str, Needs] = setting({}, "stage -> what differs from the default")

    def needs(self, stage: str) -> Needs:
        """What a stage asks for here."""
        needs = self.stages.get(stage, Needs()).over(NEEDS[stage])
        return needs if self.accelerator else replace(needs, accelerators=0)

    def pool(self, stage: str) -> Pool:
        """Where a stage may run."""
        return self.pools.get("accelerator" if self.needs(stage).accelerators else "cpu", Pool())

    def check(self) -> Iterator[ConfigError]:
        """Names, quantities and patterns that Kubernetes would refuse much later."""
        for section, known in (("stages", STAGES), ("pools", POOLS)):
            for name in sorted(getattr(self, section).keys() - set(known)):
                fix = did_you_mean(name, known)
                yield ConfigError(f"unknown name '{name}'", where=f"cluster.{section}.{name}", fix=fix)
        if "{image}" not in self.images:
            what, where = "every image would be the same", "cluster.images"
            expected = "a pattern with {image}, and {tag}, the hash of what is in it"
            yield ConfigError(what, where=where, found=self.images, expected=expected)
        for kind in sorted({*self.notify.on} - {*KINDS}):
            where, fix = "cluster.notify.on", did_you_mean(kind, KINDS)
            yield ConfigError("there is no such end of a run", where=where, found=kind, fix=fix)
        yield from self._quantities()
        yield from self._names()

    def _quantities(self) -> Iterator[ConfigError]:
        for stage, needs in self.stages.items():
            where = f"cluster.stages.{stage}"
            for name in ("cpu", "memory", "scratch"):
                value, what = getattr(needs, name), "not a quantity of Kubernetes"
                if value and not _QUANTITY.fullmatch(value):
                    yield ConfigError(what, where=f"{where}.{name}", found=value, expected="8Gi")
            if stage in ("finetuning", "evaluation") and needs.retries > 0:
                what = "KFP drops the retries of a stage in a loop"
                fix = "leave it out: finished work is found in the store"
                yield ConfigError(what, where=f"{where}.retries", found=needs.retries, expected=0, fix=fix)

    def _names(self) -> Iterator[ConfigError]:
        seen = set(OWN)
        if self.notify.secret and not _NAME.fullmatch(self.notify.secret):
            what, fix = "not a name of Kubernetes", "the name of a Secret, which holds the URL"
            yield ConfigError(what, where="cluster.notify.secret", fix=fix)
        for section in ("secrets", "config_maps"):
            for name, keys in getattr(self, section).items():
                where = f"cluster.{section}.{name}"
                twice = [key for key in keys if key in seen and _VARIABLE.fullmatch(key)]
                if twice:
                    what = "a variable has two sources, which Kubernetes refuses"
                    yield ConfigError(what, where=where, found=twice)
                seen.update(keys)
                if not _NAME.fullmatch(name):
                    yield ConfigError("not a name of Kubernetes", where=where, found=name)
                for key in (key for key in keys if not _VARIABLE.fullmatch(key)):
                    what = "a key is not the name of a variable"
                    expected = "the name of a key that is a variable: A-Z, 0-9 and _"
                    # The value may be a secret that was written here by mistake: it is not shown.
                    yield ConfigError(what, where=where, expected=expected, found=f"{len(key)} characters")


def whole(cpu: str) -> int:
    """Processors of a quantity such as 8, 2.5 or 500m, at least one: so many processes or threads fit."""
    return max(1, int(float(cpu[:-1]) / 1000 if cpu.endswith("m") else float(cpu)))


def load(name: str = "") -> Cluster:
    """The cluster of a file: a name of `pipelines/clusters`, or a path that ends in .yaml.

    `TRUNKLINE_CLUSTER` names it where `name` is empty; `TRUNKLINE_IMAGES` stands for the pattern of images.

    Raises:
        ConfigError: if there is no such file; ConfigErrors with all that is wrong in it.
    """
    name = name or os.environ.get("TRUNKLINE_CLUSTER", "") or "default"
    path = Path(name) if name.endswith(".yaml") else FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in FOLDER.glob("*.yaml"))
        fix = did_you_mean(name, known)
        raise ConfigError("there is no such cluster", where=str(path), found=name, fix=fix)
    values: Any = parse(path.read_text(encoding="utf-8"), path.name) or {}
    if isinstance(values, dict) and os.environ.get("TRUNKLINE_IMAGES"):
        values = {**values, "images": os.environ["TRUNKLINE_IMAGES"]}
    return from_dict(Cluster, values, "cluster")
