"""A run that continues from what is registered: names become references, which do not move any more."""

from __future__ import annotations

from typing import Any

from components.lib import modalities
from components.lib.core.errors import ConfigError
from components.lib.registry.registered_models import CHAMPION, Registered, Registry
from components.lib.storage.artifacts import Manifest
from components.lib.storage.lineage import REFERENCE, ancestors
from components.lib.storage.stage import Context
from components.preflight.plan import PUBLIC


def settle(context: Context, stages: dict[str, dict[str, Any]], *, skip_unchanged: bool) -> None:
    """Completes the settings of a run.

    `pretraining.start` becomes a reference. With it the corpus holds what is new since that trunk's, and the
    tokenizer is that trunk's, whose vocabulary its weights know. Where nothing is registered yet, a run
    starts at random: the first of a schedule has nothing to continue. What follows from published weights is
    `public_weights.settling`'s.

    Args:
        stages: the settings of each stage; changed in place.
        skip_unchanged: there is nothing to do if the champion was trained on the same corpus.

    Raises:
        MissingError: if the store does not hold the trunk.
        ConfigError: if it is another network than the settings say.
    """
    name, start = stages["registration"]["name"], stages["pretraining"]["start"]
    if skip_unchanged:
        champion = _find(context, name, CHAMPION)
        stages["ingestion"]["known"] = champion.tags.get("trunkline.ingestion", "") if champion else ""
    if start in modalities.starts(stages["pretraining"]["modality"]):
        return
    if start and not REFERENCE.fullmatch(start):
        found = _find(context, name, start)
        origin = f"{name} {found.version}" if found else f"random weights, as there is no {start} yet"
        print(f"preflight: starts from {origin}", flush=True)
        start = found.reference if found else ""
    stages["pretraining"]["start"] = start
    trunk = context.store.resolve(start) if start else None
    if trunk is not None and trunk.key.stage != PUBLIC:
        _follow(context, trunk, stages)


def _find(context: Context, name: str, alias: str) -> Registered | None:
    return Registry(context.tracking_uri).find(name, alias)


def _follow(context: Context, trunk: Manifest, stages: dict[str, dict[str, Any]]) -> None:
    name = stages["pretraining"]["modality"]
    theirs, mine = (modalities.dials(name, one["trunk"]) for one in (trunk.key.config, stages["pretraining"]))
    for option in ("architecture", "size"):
        if theirs.get(option) != mine.get(option):
            raise ConfigError(
                "the trunk to start from is another network",
                where=f"pretraining.trunk.{option}",
                found=mine.get(option),
                expected=theirs.get(option),
                fix="use the options of that trunk",
            )
    corpus = ancestors(context.store, trunk).get("ingestion")
    if corpus is not None and not stages["ingestion"]["since"]:
        stages["ingestion"]["since"] = corpus.reference
    follow = getattr(modalities.preflight(name), "follow", None)
    stages["tokenization"].update(follow(trunk) if follow else {})
