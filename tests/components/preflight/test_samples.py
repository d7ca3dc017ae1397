"""Preflight reads a few records of every source and of the labelled data before anything is made."""

import json
from pathlib import Path

import pytest

from components.lib.core.errors import DataError, MissingError
from components.preflight import samples
from components.preflight.plan import resolve

GOOD = [{"text": f"a text of {number} words", "label": "a"} for number in range(40)]


def lines(records) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


@pytest.fixture
def look(tmp_path):
    """What is wrong with files, by their names, of which some are the corpus and one is labelled."""

    def found(files, corpus="corpus", labels="labels.jsonl", **overrides):
        for name, data in {"corpus/a.jsonl": lines(GOOD), "labels.jsonl": lines(GOOD), **files}.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data if isinstance(data, bytes) else data.encode())
        source = {"source": str(tmp_path / labels)}
        places = {"ingestion.sources": [str(tmp_path / corpus)], "tasks.topics.train": source}
        places["tasks.topics.test"] = {**source, "share": 0.3}
        return samples.look(resolve("smoke", {**places, **overrides}), str(tmp_path / "store"))

    return found


ROWS = {  # files, settings -> the class of the first error, its words; none where all is well
    "good": ({}, {}, None, ""),
    "no such folder": ({}, {"corpus": "none"}, MissingError, "does not exist"),
    "no labels": ({}, {"labels": "none.csv"}, MissingError, "tasks.topics.train"),
    "no text field": ({}, {"ingestion.text": "body"}, DataError, "no field 'body'"),
    "no label field": ({"labels.jsonl": lines([{"text": "x"}] * 9)}, {}, MissingError, "no field 'label'"),
    "one record lacks its label": ({"labels.jsonl": lines([{"text": "x"}, *GOOD])}, {}, None, ""),
    "no group field": ({}, {"tasks.topics.train.group": "patient"}, MissingError, "no field 'patient'"),
    "one broken file": ({"corpus/a.jsonl": b"\x00\x01"}, {}, DataError, "ingestion.sources[0]"),
    "a broken one of two": ({"corpus/a.jsonl.gz": b"no gzip", "corpus/b.jsonl": lines(GOOD)}, {}, None, ""),
    "an unknown format": ({"odd/a.xyz": "x"}, {"corpus": "odd"}, DataError, "format"),
}


@pytest.mark.parametrize(("files", "settings", "kind", "words"), ROWS.values(), ids=list(ROWS))
def test_what_a_few_records_show(look, files, settings, kind, words):
    errors = look(files, **settings)
    assert bool(errors) == (kind is not None), errors
    if kind is not None:
        assert type(errors[0]) is kind and words in str(errors[0])


def test_a_decoder_that_is_killed_or_hangs_ends_nothing(look, monkeypatch, capsys):
    """It is left to ingestion's sandbox."""
    monkeypatch.setattr(samples, "PATIENCE", 0.05)
    assert look({}) == []
    monkeypatch.undo()
    monkeypatch.setattr(samples, "ROOT", Path("/no/such/root"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.chdir("/")
    assert look({}) == [] and "no sample of the data" in capsys.readouterr().out
