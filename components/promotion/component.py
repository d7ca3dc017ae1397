"""Promotion: evaluations -> gate, registered branches, aliases, report."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-tracking", install_kfp_package=False)
def promote(
    settings: dict,
    registered: dsl.Input[dsl.Model],
    evaluations: dsl.Input[list[dsl.Dataset]],
    decision: dsl.Output[dsl.Dataset],
    report: dsl.Output[dsl.HTML],
    link: dsl.Output[dsl.Markdown],
):
    """Writes the decision, the report of the run, and links to its models in MLflow."""
    from pathlib import Path

    from components.lib.core.settings import from_dict
    from components.lib.registry import links
    from components.lib.registry.tracking import finish
    from components.lib.storage import artifacts
    from components.lib.storage.stage import stage
    from components.promotion.config import Config
    from components.promotion.run import run

    with stage("promotion", settings) as context:
        trunk, scored = Path(registered.path), [Path(evaluation.path) for evaluation in evaluations]
        paths = {"decision": Path(decision.path), "report": Path(report.path)}
        pages = {"page": paths["report"], "text": Path(link.path)}
        if not context.passes_on([trunk, *scored], paths["decision"], **pages):
            config = from_dict(Config, context.config, "promotion")
            run(config, context, registered=trunk, evaluations=scored, **paths)
            links.write(Path(link.path), context, map(artifacts.read, [trunk, *scored]))
        if not artifacts.passed_on(trunk):  # else there is no run in MLflow
            finish(context)
