"""Pretraining: tokens -> trunk (weights, tokenizer, loss history)."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-training", install_kfp_package=False)
def pretrain(
    settings: dict,
    tokens: dsl.Input[dsl.Dataset],
    trunk: dsl.Output[dsl.Model],
    metrics: dsl.Output[dsl.Metrics],
):
    """Writes the trunk manifest and its last validation losses."""
    from pathlib import Path

    from components.lib.core.settings import from_dict
    from components.lib.storage.stage import stage
    from components.pretraining.config import Config
    from components.pretraining.run import run

    with stage("pretraining", settings) as context:
        paths = {"tokens": Path(tokens.path), "trunk": Path(trunk.path)}
        if context.passes_on([paths["tokens"]], paths["trunk"]):
            return
        config = from_dict(Config, context.config, "pretraining")
        for name, value in run(config, context, **paths).items():
            metrics.log_metric(name, value)
