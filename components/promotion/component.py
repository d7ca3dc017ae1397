"""Promotion: evaluations -> gate, registered branches, aliases, report."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-tracking", install_kfp_package=False)
def promote(
    settings: dict,
    registered: dsl.Input[dsl.Model],
    evaluations: dsl.Input[list[dsl.Dataset]],
    decision: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
):
    """Writes the decision and the report of the run."""
    from pathlib import Path

    from components.lib.core.settings import from_dict
    from components.lib.storage.stage import stage
    from components.promotion.config import Config
    from components.promotion.run import run

    with stage("promotion", settings) as context:
        trunk, scored = Path(registered.path), [Path(evaluation.path) for evaluation in evaluations]
        paths = {"decision": Path(decision.path), "report": Path(report.path)}
        if not context.passes_on([trunk, *scored], paths["decision"], page=paths["report"]):
            config = from_dict(Config, context.config, "promotion")
            run(config, context, registered=trunk, evaluations=scored, **paths)
