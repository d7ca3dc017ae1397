"""A trunk and a branch that the tests of finetuning share."""

from pathlib import Path

import pytest

from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, Manifest
from components.lib.storage.stage import Context
from components.pretraining.config import Config as Pretraining
from components.pretraining.run import run as pretrain
from tests.components.finetuning.studies import config, study, table
from tests.made import corpora


@pytest.fixture(scope="session")
def ground(tmp_path_factory) -> Path:
    """A folder with a store, a registered trunk, and labelled records."""
    folder = tmp_path_factory.mktemp("ground")
    context, tokens = corpora.topic_tokens(folder, 300)
    config = Pretraining(
        trunk={"architecture": "modernbert", "size": "nano", "sequence_length": 48, "unit": "document"},
        objective={"contrastive": {"projection": 16}},
        steps=25,
        global_batch=32,
        learning_rate=5e-3,
        threads=1,
    )
    pretrain(config, context, tokens=tokens, trunk=folder / "trunk.json")
    trunk = artifacts.read(folder / "trunk.json")
    Manifest(Key("registration", 1, {}, {"trunk": trunk.reference}), "", ()).write(folder / "registered.json")
    rows = [(text, topic) for topic, text in corpora.topics(240, seed=1)]
    table(folder / "train.csv", rows[:180])
    table(folder / "test.csv", rows[180:])
    return folder


@pytest.fixture(scope="session")
def branch(ground) -> tuple[Context, Manifest]:
    return study(ground, config(ground), ground / "branch.json")
