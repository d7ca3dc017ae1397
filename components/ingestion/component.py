"""Ingestion: sources -> corpus (clean, deduplicated, split shards), quarantine and data card."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-data", install_kfp_package=False)
def ingest(
    settings: dict,
    corpus: dsl.Output[dsl.Dataset],
    card: dsl.Output[dsl.HTML],
):
    """Writes the corpus manifest, or that there is nothing new in it, and the data card."""
    from pathlib import Path

    from components.ingestion.config import configured
    from components.ingestion.increment import tell
    from components.ingestion.run import run
    from components.lib.storage.stage import stage

    with stage("ingestion", settings) as context:
        config = configured(context.config)
        made = run(config, context, corpus=Path(corpus.path), card=Path(card.path))
        tell(config, context, made, Path(corpus.path))
