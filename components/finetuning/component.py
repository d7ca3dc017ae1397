"""Finetuning: registered trunk + labelled data -> branch, and the same runs from other starts."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-training", install_kfp_package=False)
def finetune(task: dict, registered: dsl.Input[dsl.Model], branch: dsl.Output[dsl.Model]):
    """Writes the branch manifest: weights, frozen examples, outcomes of every run."""
    from pathlib import Path

    from components.finetuning.config import configured
    from components.finetuning.run import run
    from components.lib.storage.stage import stage

    with stage("finetuning", task["finetuning"], task=task["name"]) as context:
        paths = {"registered": Path(registered.path), "branch": Path(branch.path)}
        if not context.passes_on([paths["registered"]], paths["branch"]):
            config = configured(context.config, f"tasks.{task['name']}.finetuning")
            run(config, context, **paths)
