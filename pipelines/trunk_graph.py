"""Sub-pipeline from a corpus to a trunk: tokenization, pretraining, registration, then its tasks."""

from kfp import dsl

from pipelines.stages import pretrain, register, tokenize
from pipelines.task_graph import task_graph


@dsl.pipeline(name="growth")  # as the UI shows it
def trunk_graph(
    fresh: int,
    tokenization: dict,
    pretraining: dict,
    registration: dict,
    promotion: dict,
    tasks: list[dict],
    task_count: int,
    corpus: dsl.Input[dsl.Dataset],
):
    """A corpus that is known already needs no new trunk: the graph then ends here."""
    with dsl.If(fresh > 0):
        tokens = tokenize(settings=tokenization, corpus=corpus).outputs["tokens"]
        trunk = pretrain(settings=pretraining, tokens=tokens).outputs["trunk"]
        registered = register(settings=registration, trunk=trunk).outputs["registered"]
        task_graph(promotion=promotion, tasks=tasks, task_count=task_count, registered=registered)
