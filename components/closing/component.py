"""Closing: the run's ledger -> exit record, on every end, failed ones too."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-data", install_kfp_package=False)
def close(store: str, run_id: str, report: dsl.Output[dsl.HTML], status: dsl.PipelineTaskFinalStatus):
    """Writes `runs/<run>/exit.json`, adds a line to the index of reports, and shows the run's own."""
    from pathlib import Path

    from components.closing.config import Config
    from components.closing.run import run
    from components.closing.shown import show

    config = Config(store, run_id, status.state, status.error_message or "")
    run(config)
    show(config, Path(report.path))
