"""Tokenization: corpus -> tokenizer and memory-mapped token shards."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-data", install_kfp_package=False)
def tokenize(settings: dict, corpus: dsl.Input[dsl.Dataset], tokens: dsl.Output[dsl.Dataset]):
    """Writes the tokens manifest."""
    from pathlib import Path

    from components.lib.config import from_dict
    from components.lib.stage import stage
    from components.tokenization.config import Config
    from components.tokenization.run import run

    with stage("tokenization", settings) as context:
        config = from_dict(Config, settings["config"], "tokenization")
        run(config, context, corpus=Path(corpus.path), tokens=Path(tokens.path))
