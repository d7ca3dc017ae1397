"""Ingestion: sources -> corpus (clean, deduplicated, split shards), quarantine and data card."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-data", install_kfp_package=False)
def ingest(settings: dict, corpus: dsl.Output[dsl.Dataset], card: dsl.Output[dsl.HTML]):
    """Writes the corpus manifest and the data card."""
    from pathlib import Path

    from components.ingestion.modalities import configured
    from components.ingestion.run import run
    from components.lib.stage import stage

    with stage("ingestion", settings) as context:
        run(configured(settings["config"]), context, corpus=Path(corpus.path), card=Path(card.path))
