"""Settings of a run that starts from published weights."""

from __future__ import annotations

import os

from components.lib import modalities
from components.lib.core import hardware
from components.lib.core.errors import ConfigError, TrunklineError
from components.lib.core.plugins import declared
from components.lib.storage.stage import Context
from components.preflight.plan import Plan
from components.preflight.public_weights.keeping import obtain
from components.preflight.references import OBJECTIVES

COPIES = 4  # of each weight in training: itself, its gradient, two moments


def settle(context: Context, plan: Plan) -> None:
    """Puts the checkpoint that `pretraining.start` names into the store, and what follows into the settings.

    `pretraining.start` becomes the reference of its manifest; its tokenizer, and how long inputs may be, come
    with it.

    Args:
        context: names the store.
        plan: whose settings of stages are changed in place.

    Raises:
        TrunklineError: as `keeping.obtain` does.
        ConfigErrors: if these weights cannot do what the settings ask for.
    """
    pretraining = plan.stages["pretraining"]
    name, start = pretraining["modality"], pretraining["start"]
    decided = sorted({"architecture", "size"} & pretraining["trunk"].keys())
    if decided:
        what, fix = "published weights decide the network", f"leave out {' and '.join(decided)}"
        raise ConfigError(what, where="pretraining.trunk", found=pretraining["trunk"], fix=fix)
    try:
        manifest, reused = obtain(context.store, start, name)
    except TrunklineError as error:
        error.where = error.where or "pretraining.start"
        raise
    context.record(manifest, reused=reused)
    plan.fits(manifest.facts)
    if os.environ.get("TRUNKLINE_LOCAL"):  # then this machine trains
        copies = COPIES if pretraining["steps"] or pretraining["minutes"] else 1
        hardware.check_memory(4 * copies * manifest.facts["parameters"], "pretraining.start")
    origin = f"{manifest.key.config['revision'][:19]}, licence {manifest.facts['license']}"
    print(f"preflight: starts from {start} ({manifest.facts['model_type']}, {origin})", flush=True)
    for objective in pretraining["objective"]:
        if declared(OBJECTIVES, objective).constants.get("HEAD") and not manifest.facts["head"]:
            context.tell(f"{start} has no language model's head: {objective} makes one anew")
    adapted = modalities.preflight(name)
    pretraining["trunk"] = adapted.published(pretraining["trunk"], manifest.facts)
    plan.stages["tokenization"].update(adapted.follow(manifest))
    pretraining["start"] = manifest.reference
