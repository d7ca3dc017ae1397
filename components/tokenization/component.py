"""Tokenization: corpus -> tokenizer and memory-mapped token shards."""

from kfp import dsl


@dsl.component(base_image="trunkline-python-data", install_kfp_package=False)
def tokenize(settings: dict, corpus: dsl.Input[dsl.Dataset], tokens: dsl.Output[dsl.Dataset]):
    """Writes the tokens manifest."""
    from pathlib import Path

    from components.lib.storage.stage import stage
    from components.tokenization.config import configured
    from components.tokenization.run import run

    with stage("tokenization", settings) as context:
        paths = {"corpus": Path(corpus.path), "tokens": Path(tokens.path)}
        if not context.passes_on([paths["corpus"]], paths["tokens"]):
            run(configured(context.config), context, **paths)
