"""Pipeline for one branch that exists: evaluation against the present champion, and the gate, anew."""

from kfp import dsl

from pipelines.stages import close, evaluate, preflight, promote, register


@dsl.pipeline(name="evaluation")
def evaluation(
    branch: str,
    preset: str = "quickstart",
    overrides: dict = {},  # noqa: B006  # KFP reads the default at compile time
    store: str = "",
    tracking_uri: str = "",
):
    """Evaluation and gate of one branch, after new gate rules or a new champion.

    Args:
        branch: URI of the branch's manifest.json in the store, as its lineage names it.
        preset: name of a preset that has the branch's task.
        overrides: settings that differ; {"tasks": ["topics"]} chooses the branch's task.
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
        given = dsl.importer(artifact_uri=branch, artifact_class=dsl.Model).set_caching_options(False).output
        registered = register(settings=plan["registration"]).outputs["registered"]
        with dsl.ParallelFor(plan["Output"], name="tasks") as task:
            scored = evaluate(task=task, branch=given).outputs["evaluation"]
        promote(settings=plan["promotion"], registered=registered, evaluations=dsl.Collected(scored))
