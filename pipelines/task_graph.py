"""Sub-pipeline behind a registered trunk: finetuning and evaluation of each task, then the gate."""

from kfp import dsl

from pipelines.stages import evaluate, finetune, promote


@dsl.pipeline(name="branches")  # as the UI shows it
def task_graph(promotion: dict, tasks: list[dict], task_count: int, registered: dsl.Input[dsl.Model]):
    """No task is a valid list: the graph then ends here."""
    with dsl.If(task_count > 0):
        with dsl.ParallelFor(tasks, parallelism=2) as task:
            branch = finetune(task=task, registered=registered)
            evaluation = evaluate(task=task, branch=branch.outputs["branch"])
        promote(
            settings=promotion,
            registered=registered,
            evaluations=dsl.Collected(evaluation.outputs["evaluation"]),
        )
