"""A run that continues: what stands in the store decides its settings."""

import pytest

from components.lib.core.errors import ConfigError, MissingError
from components.lib.storage.artifacts import Key
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.preflight.continuation import settle
from components.preflight.plan import resolve


@pytest.fixture
def context(tmp_path):
    return Context(Store(str(tmp_path / "store")), tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")


def made(store, stage, config, inputs, *names):
    with store.draft(Key(stage, 1, config, inputs)) as draft:
        for name in names:
            draft.write(name, "{}")
        return draft.commit()


@pytest.fixture
def trunk(context):
    """A trunk of the smoke preset with its lineage."""
    corpus = made(context.store, "ingestion", {}, {"sources": "0" * 64}, "statistics.json")
    tokens = made(context.store, "tokenization", {}, {"corpus": corpus.reference})
    config = resolve("smoke", {}).stages["pretraining"]
    return made(context.store, "pretraining", config, {"tokens": tokens.reference}, "model/tokenizer.json")


def settled(context, **settings):
    stages = resolve("smoke", {f"pretraining.{name}": value for name, value in settings.items()}).stages
    settle(context, stages, skip_unchanged=False)
    return stages


def test_a_start_brings_its_corpus_and_its_tokenizer(context, trunk):
    stages = settled(context, start=trunk.reference)
    assert stages["pretraining"]["start"] == trunk.reference
    assert stages["ingestion"]["since"].startswith("ingestion/")
    assert stages["tokenization"]["kind"] == "given"
    assert stages["tokenization"]["tokenizer"] == f"{trunk.uri}/model/tokenizer.json"


def test_nothing_is_registered_yet(context, capsys):
    stages = settled(context, start="champion")
    assert stages["pretraining"]["start"] == "" == stages["ingestion"]["since"]
    assert "no champion yet" in capsys.readouterr().out


def test_another_network_is_refused_before_work_starts(context, trunk):
    with pytest.raises(ConfigError, match="another network") as raised:
        settled(context, start=trunk.reference, **{"trunk.size": "tiny"})
    assert (raised.value.found, raised.value.expected) == ("tiny", "nano")


def test_a_trunk_that_is_gone(context):
    with pytest.raises(MissingError):
        settled(context, start=f"pretraining/{'0' * 32}#{'0' * 64}")


def test_a_trunk_on_images_brings_its_canvas(context):
    corpus = made(context.store, "ingestion", {}, {"sources": "0" * 64}, "statistics.json")
    tokens = made(context.store, "tokenization", {}, {"corpus": corpus.reference})
    config = resolve("image-smoke", {}).stages["pretraining"]
    name = "model/preprocessor_config.json"
    trunk = made(context.store, "pretraining", config, {"tokens": tokens.reference}, name)
    stages = resolve("image-smoke", {"pretraining.start": trunk.reference}).stages
    settle(context, stages, skip_unchanged=False)
    assert stages["tokenization"]["canvas"] == f"{trunk.uri}/{name}"
