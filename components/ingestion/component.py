"""Ingestion: sources -> corpus (clean, deduplicated, split shards), quarantine and data card."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-data", install_kfp_package=False)
def ingest(
    settings: dict,
    corpus: dsl.Output[dsl.Dataset],
    card: dsl.Output[dsl.HTML],
    fresh: dsl.OutputPath(int),  # type: ignore[valid-type]
):
    """Writes the corpus manifest, the data card, and whether (1 or 0) the corpus is worth a training."""
    from pathlib import Path

    from components.ingestion.config import configured
    from components.ingestion.increment import tell
    from components.ingestion.run import run
    from components.lib.storage.stage import stage

    with stage("ingestion", settings) as context:
        config = configured(settings["config"])
        made = run(config, context, corpus=Path(corpus.path), card=Path(card.path))
        tell(config, context, made, Path(fresh))
