"""The champion that a branch is judged against, whichever came since its evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.lib.core import bootstrap
from components.lib.core.errors import IntegrityError, MissingError
from components.lib.registry.registered_models import CHAMPION, Registered, Registry
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Store

EVALUATION, GATE = "trunkline.evaluation", "trunkline.gate"  # tags of a version


@dataclass(frozen=True)
class Candidate:
    """A branch as the gate judges it.

    Attributes:
        facts: of its evaluation, and the number of the decision among those on its model. Where another
            champion than the one that was scored is at its place, the comparison is anew.
        champion: the version that is the champion now.
        rival: what the comparison rests on besides the evaluation; empty where that says it all.
    """

    evaluation: Manifest
    facts: Mapping[str, Any]
    champion: Registered | None
    rival: str = ""

    @property
    def branch(self) -> str:
        """The reference of the branch."""
        return self.evaluation.key.inputs["branch"]

    @property
    def reigns(self) -> bool:
        """Whether it is the champion already."""
        return self.champion is not None and self.champion.reference == self.branch


def candidate(store: Store, registry: Registry, evaluation: Manifest) -> Candidate:
    """The branch beside the present champion.

    Runs that end at once were all scored against the one before: the later is compared with the earlier by
    the replicates of both evaluations, which drew the same examples.
    """
    found = registry.find(evaluation.facts["model"], CHAMPION)
    reference = found.reference if found else None
    facts = {**evaluation.facts, "decision": decision_number(registry, evaluation)}
    if reference in (evaluation.key.inputs.get("champion"), evaluation.key.inputs["branch"]):
        return Candidate(evaluation, facts, found)
    if found is None:
        none = {"champion": None, "champion_metrics": None, "difference": None}
        return Candidate(evaluation, {**facts, **none}, None, "none")
    since = f"version {found.version} became champion since the evaluation"
    serving = {"name": found.name, "version": found.version, "reference": found.reference}
    told: dict[str, Any] = {"champion": serving, "champion_metrics": None, "difference": None}
    alone = {"champion_metrics": None, "difference": None, "champion_gaps": None}
    told["slices"] = [row | alone for row in facts.get("slices") or []]  # of them no replicates are kept
    try:
        if EVALUATION not in found.tags:
            raise MissingError("its evaluation is not known")
        other = store.resolve(found.tags[EVALUATION])
        if _examples(other) != _examples(evaluation):
            raise MissingError("it was scored on other examples")
        mine, theirs = (_drawn(store, one) for one in (evaluation, other))
    except (MissingError, IntegrityError) as error:
        told["since"] = f"{since}, and cannot be compared with here: {error.what}; the next run does"
        return Candidate(evaluation, {**facts, **told}, found, found.reference)
    size, level, metrics = facts["examples"], facts["confidence"], facts["metric"]
    told["difference"] = bootstrap.paired(mine, theirs, size, level, metrics)
    told["champion_metrics"] = other.facts["metrics"]
    told["since"] = f"{since}: compared with it, on the same examples"
    return Candidate(evaluation, {**facts, **told}, found, other.reference)


def _examples(evaluation: Manifest) -> tuple[Any, ...]:
    """What decides which examples each replicate draws."""
    facts = evaluation.facts
    return facts.get("test_set"), facts["examples"], facts["replicates"], evaluation.key.config.get("seed")


def _drawn(store: Store, evaluation: Manifest) -> bootstrap.Drawn:
    data = store.open(evaluation, bootstrap.FILE).read_bytes()
    return bootstrap.unpacked(data, evaluation.facts["metrics"])


def decision_number(registry: Registry, evaluation: Manifest) -> int:
    """Number of this decision among those on the model, from 1: versions judged before it count."""
    name, branch = evaluation.facts["model"], evaluation.key.inputs["branch"]
    versions = registry.of(name)
    mine = [int(one.version) for one in versions if one.reference == branch]
    judged = [one for one in versions if GATE in one.tags and (not mine or int(one.version) < min(mine))]
    return 1 + len(judged)
