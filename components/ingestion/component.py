"""Ingestion: sources -> corpus (clean, deduplicated, split shards), quarantine and data card."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-data", install_kfp_package=False)
def ingest(settings: dict, corpus: dsl.Output[dsl.Dataset], card: dsl.Output[dsl.HTML]):
    """Writes the corpus manifest and the data card."""
    from pathlib import Path

    from components.ingestion.config import Config
    from components.ingestion.run import run
    from components.lib.config import from_dict
    from components.lib.stage import stage

    with stage("ingestion", settings) as context:
        config = from_dict(Config, settings["config"], "ingestion")
        run(config, context, corpus=Path(corpus.path), card=Path(card.path))
