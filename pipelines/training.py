"""Full pipeline: raw data in, a gated and registered model out."""

from kfp import dsl

from pipelines.stages import (
    close,
    evaluate,
    finetune,
    ingest,
    preflight,
    pretrain,
    promote,
    register,
    tokenize,
)


@dsl.pipeline(name="training")
def training(
    preset: str = "quickstart",
    overrides: dict = {},  # noqa: B006  # KFP reads the default at compile time
    store: str = "",
    tracking_uri: str = "",
    skip_unchanged: bool = False,
):
    """Raw data in, a gated and registered model out.

    Args:
        preset: name of a preset: the data, the trunk, the tasks and the gate.
        overrides: settings that differ, e.g. {"pretraining.steps": 1000}; a dotted key replaces its value.
        store: folder or s3://bucket/prefix of all outputs; empty means TRUNKLINE_STORE.
        tracking_uri: MLflow server; empty means MLFLOW_TRACKING_URI.
        skip_unchanged: passes on what is there where the champion knows all of the data, for schedules.
    """
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    with dsl.ExitHandler(close(store=store, run_id=run_id), name="run"):
        plan = preflight(
            preset=preset,
            overrides=overrides,
            store=store,
            tracking_uri=tracking_uri,
            run_id=run_id,
            run_name=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            skip_unchanged=skip_unchanged,
        ).outputs
        corpus = ingest(settings=plan["ingestion"]).outputs["corpus"]
        tokens = tokenize(settings=plan["tokenization"], corpus=corpus).outputs["tokens"]
        trunk = pretrain(settings=plan["pretraining"], tokens=tokens).outputs["trunk"]
        registered = register(settings=plan["registration"], trunk=trunk).outputs["registered"]
        with dsl.ParallelFor(plan["Output"], parallelism=2, name="tasks") as task:
            branch = finetune(task=task, registered=registered).outputs["branch"]
            scored = evaluate(task=task, branch=branch).outputs["evaluation"]
        promote(settings=plan["promotion"], registered=registered, evaluations=dsl.Collected(scored))
