"""Closing: the run's ledger -> exit record, on every end, failed ones too."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-data", install_kfp_package=False)
def close(store: str, run_id: str, status: dsl.PipelineTaskFinalStatus):
    """Writes `runs/<run>/exit.json` and adds a line to the index of reports."""
    from components.closing.config import Config
    from components.closing.run import run

    run(Config(store, run_id, status.state, status.error_message or ""))
