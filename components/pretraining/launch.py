"""Starts the training where the settings say: on this machine, or on a cluster."""

from __future__ import annotations

from components.lib.core import plugins
from components.lib.core.errors import Interrupted, TrunklineError, WorkerLost
from components.lib.core.settings import from_dict, to_dict
from components.lib.registry import tracking
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.pretraining.config import Config
from components.pretraining.job import Job

LAUNCHERS = "components.pretraining.launchers"


def launch(config: Config, context: Context, tokens: Manifest, key: Key) -> None:
    """Trains; when this returns, the store holds the trunk under `key`.

    The worker is the same program in this process, under torchrun and in the pods of a TrainJob: it reads one
    JSON object and writes nothing but the store.
    """
    launcher = plugins.load(LAUNCHERS, config.launcher)
    options = from_dict(launcher.Config, config.launch, "pretraining.launch")
    run = {name: getattr(context, name) for name in ("tracking_uri", "run_id", "stage", "details")}
    job = Job(context.store.uri, key, tokens.reference, to_dict(config), run)
    try:
        launcher.launch(job, options)
    except TrunklineError as error:  # the processes may have been killed before they could say so
        if isinstance(error, WorkerLost) or not isinstance(error, Interrupted):
            tracking.conclude(context, key.digest, "KILLED" if isinstance(error, WorkerLost) else "FAILED")
        raise
