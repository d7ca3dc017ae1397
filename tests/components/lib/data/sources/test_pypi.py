"""Wheels: pip downloads what is pinned, once for all stages of a store."""

import sys

import pytest

from components.finetuning import labelled
from components.finetuning.config import configured
from components.lib.core.errors import ConfigError, IntegrityError, MissingError
from components.lib.data.sources import find, keep, read_records
from components.lib.storage.stage import stage
from components.lib.storage.store import Store
from components.lib.tasks import sequence_classification

RECORD = {"text": "inside a wheel", "label": "data"}


def fields(uri: str) -> list:
    return [record.fields for record in read_records(uri)]


def names(uri: str) -> list[str]:
    return [entry.name for entry in find(uri)]


def test_a_data_file_inside_a_wheel(wheel):
    path, digest = wheel
    uri = f"pypi:tiny-corpus==1.0/tiny/data.jsonl#sha256={digest}"
    assert fields(uri) == [RECORD]
    path.unlink()
    assert fields(uri) == [RECORD], "the second time it comes from the cache"
    assert names(uri) == ["pypi:tiny-corpus-1.0.whl!/tiny/data.jsonl"]
    assert "tiny" not in sys.modules


def test_a_wheel_that_is_not_what_was_pinned(wheel):
    _, digest = wheel
    with pytest.raises(IntegrityError, match="not the one that was pinned"):
        fields(f"pypi:tiny-corpus==1.0/tiny/data.jsonl#sha256={'0' * 64}")
    with pytest.raises(MissingError, match="finds no such wheel"):
        fields(f"pypi:tiny-corpus==2.0/tiny/data.jsonl#sha256={digest}")
    with pytest.raises(MissingError, match="no such member"):
        fields(f"pypi:tiny-corpus==1.0/tiny/absent.jsonl#sha256={digest}")


def test_a_damaged_cache_is_fetched_again(wheel, tmp_path):
    uri = f"pypi:tiny-corpus==1.0/tiny/data.jsonl#sha256={wheel[1]}"
    fields(uri)
    cached = next((tmp_path / "cache").rglob("*.whl"))
    cached.write_bytes(b"damaged")
    assert fields(uri) == [RECORD]


class Texts:
    """Reads inputs of a task as they are."""

    def value(self, record, name, tell, role):
        return record.required(name)

    def identity(self, inputs):
        return inputs["text"]


def test_finetuning_without_pip_reads_what_preflight_put_into_the_store(wheel, tmp_path, s3, monkeypatch):
    """No pip, an index that is gone, the empty disk of a new pod."""
    path, digest = wheel
    uri = f"pypi:tiny-corpus==1.0/tiny/data.jsonl#sha256={digest}"
    store = Store(f"{s3}/team")
    manifest, there = keep(uri, store)
    assert not there and keep(uri, store) == (manifest, True)
    assert manifest.files[0].sha256 == digest
    path.unlink()
    without_pip(monkeypatch, tmp_path)
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "new"))
    with stage("finetuning", {"store": store.uri, "run": {}, "config": {}}):
        source = {"source": uri}
        values = {"task": "topics", "modality": "text", "train": source, "test": source}
        config = configured(values, "tasks.topics")
        split = labelled.read(config.train, sequence_classification, Texts(), config, "tasks.topics.train")
    assert (split.inputs["text"], split.labels) == ([RECORD["text"]], [RECORD["label"]])
    with pytest.raises(ConfigError, match="needs pip") as caught:
        fields(uri.replace("tiny/", "other/").replace(digest, "0" * 64))
    assert "preflight" in caught.value.fix


def without_pip(monkeypatch, folder):
    """As in every image but preflight's: a Python that finds no packages."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
