"""Evaluation: branch (and the champion, on the same examples) -> metrics with intervals."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-training", install_kfp_package=False)
def evaluate(
    task: dict,
    branch: dsl.Input[dsl.Model],
    evaluation: dsl.Output[dsl.Dataset],
    metrics: dsl.Output[dsl.Metrics],
    card: dsl.Output[dsl.HTML],
):
    """Writes the evaluation manifest, its headline metrics and a page."""
    from pathlib import Path

    from components.evaluation.config import Config
    from components.evaluation.run import run
    from components.lib.core.settings import from_dict
    from components.lib.storage.stage import stage

    with stage("evaluation", task["evaluation"], task=task["name"]) as context:
        given, paths = Path(branch.path), {"evaluation": Path(evaluation.path), "card": Path(card.path)}
        if context.passes_on([given], paths["evaluation"], page=paths["card"]):
            return
        config = from_dict(Config, context.config, f"tasks.{task['name']}.evaluation")
        for name, value in run(config, context, branch=given, **paths).items():
            metrics.log_metric(name, value)
