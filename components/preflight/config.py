"""What preflight is told: the parameters of the pipeline, as they come from a form or a command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Config:
    """The parameters of a run.

    Attributes:
        preset: the name of a file in the folder of presets.
        overrides: settings that differ from the preset's; nested, or with dotted keys.
        store: URI of the store; empty means `TRUNKLINE_STORE` of the environment.
        tracking_uri: the MLflow server; empty means `MLFLOW_TRACKING_URI` of the environment.
        run_id: the pipeline run, the name of its ledger.
        run_name: what people call it.
        skip_unchanged: there is nothing to do if the champion was trained on the same corpus.
    """

    preset: str
    overrides: dict[str, Any]
    store: str
    tracking_uri: str
    run_id: str
    run_name: str = ""
    skip_unchanged: bool = False
