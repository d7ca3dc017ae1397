"""Preflight: preset + overrides -> checked settings of every stage, and the list of tasks."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-tracking", install_kfp_package=False)
def preflight(
    preset: str,
    overrides: dict,
    store: str,
    tracking_uri: str,
    run_id: str,
    ingestion: dsl.OutputPath(dict),  # type: ignore[valid-type]
    tokenization: dsl.OutputPath(dict),  # type: ignore[valid-type]
    pretraining: dsl.OutputPath(dict),  # type: ignore[valid-type]
    registration: dsl.OutputPath(dict),  # type: ignore[valid-type]
    promotion: dsl.OutputPath(dict),  # type: ignore[valid-type]
    run_name: str = "",
    skip_unchanged: bool = False,
) -> list[dict]:
    """Returns one item a task, each with the settings of its finetuning and evaluation; never none."""
    from pathlib import Path

    from components.preflight.config import Config
    from components.preflight.run import run

    config = Config(preset, overrides, store, tracking_uri, run_id, run_name, skip_unchanged)
    outputs = (ingestion, tokenization, pretraining, registration, promotion)
    return run(config, *map(Path, outputs))
