"""Pipeline without pretraining: new branches from the trunk that is registered."""

from kfp import dsl

from pipelines.stages import close, evaluate, finetune, preflight, promote, register


@dsl.pipeline(name="finetuning")
def finetuning(
    preset: str = "quickstart",
    overrides: dict = {},  # noqa: B006  # KFP reads the default at compile time
    store: str = "",
    tracking_uri: str = "",
):
    """Branches from a registered trunk: finetuning, evaluation, gate.

    Args:
        preset: name of a preset; its section `registration` names the trunk and its alias.
        overrides: settings that differ, e.g. {"tasks": ["topics"], "finetuning.steps": 200}.
        store: folder or s3://bucket/prefix of all outputs; empty means TRUNKLINE_STORE.
        tracking_uri: MLflow server; empty means MLFLOW_TRACKING_URI.
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
        ).outputs
        registered = register(settings=plan["registration"]).outputs["registered"]
        with dsl.ParallelFor(plan["Output"], parallelism=2, name="tasks") as task:
            branch = finetune(task=task, registered=registered).outputs["branch"]
            scored = evaluate(task=task, branch=branch).outputs["evaluation"]
        promote(settings=plan["promotion"], registered=registered, evaluations=dsl.Collected(scored))
