from pathlib import Path

import pytest

from components.lib.core.errors import DataError, MissingError
from components.lib.data import sources
from components.lib.data.formats import Layout
from components.lib.data.sources import find, read_records


def names(uri: str) -> list[str]:
    return [entry.name for entry in find(uri)]


def fields(uri: str, **options) -> list:
    return [record.fields for record in read_records(uri, Layout(**options))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt", "deep/c.txt", "deep/d.md", ".hidden", ".git/config"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "data"


def test_files_folders_and_patterns(folder):
    assert names(str(folder)) == [f"{folder}/{n}" for n in ("a.txt", "b.txt", "deep/c.txt", "deep/d.md")]
    assert names(f"{folder}/*.txt") == [f"{folder}/a.txt", f"{folder}/b.txt"]
    assert names(f"{folder}/**/*.txt") == [f"{folder}/{n}" for n in ("a.txt", "b.txt", "deep/c.txt")]
    assert names(folder.as_uri() + "/deep") == [f"{folder}/deep/c.txt", f"{folder}/deep/d.md"]
    assert fields(f"{folder}/a.txt") == [{"text": "a.txt"}]


def test_identity_of_a_file_changes_with_it(folder):
    before = find(f"{folder}/a.txt")[0]
    (folder / "a.txt").write_text("other")
    assert find(f"{folder}/a.txt")[0].identity != before.identity
    with pytest.raises(DataError, match="changed while it was read"):
        sources.fetch(before, folder)


@pytest.fixture
def bucket(s3: str) -> str:
    from components.lib.storage.objects.s3 import client

    for key in ("data/b.jsonl", "data/a.jsonl", "data/deep/c.jsonl", "database/x.jsonl", "data/note.txt"):
        body = b"note" if key.endswith("txt") else b'{"text": "%s"}\n' % key.encode()
        client().put_object(Bucket=s3.removeprefix("s3://"), Key=key, Body=body)
    return s3


def test_objects_of_s3(bucket):
    assert names(f"{bucket}/data/*.jsonl") == [f"{bucket}/data/{n}.jsonl" for n in ("a", "b", "deep/c")]
    assert f"{bucket}/database/x.jsonl" not in names(f"{bucket}/data") and len(names(f"{bucket}/data")) == 4
    assert fields(f"{bucket}/data/a.jsonl") == [{"text": "data/a.jsonl"}]
    assert len(names(bucket)) == 5


def test_an_s3_object_that_changes_is_not_mixed_up(bucket, tmp_path):
    from components.lib.storage.objects.s3 import client

    entry = find(f"{bucket}/data/a.jsonl")[0]
    client().put_object(Bucket=bucket.removeprefix("s3://"), Key="data/a.jsonl", Body=b'{"text": "new"}\n')
    assert find(f"{bucket}/data/a.jsonl")[0].identity != entry.identity
    with pytest.raises(DataError, match="changed while it was read"):
        sources.fetch(entry, tmp_path)


def test_a_data_set_in_the_layout_of_the_hub(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "to train"}\n')
    (tmp_path / "test.jsonl").write_text('{"text": "to test"}\n')
    assert fields(f"hf:{tmp_path}") == [{"text": "to train"}]
    assert fields(f"hf:{tmp_path}?split=test") == [{"text": "to test"}]
    with pytest.raises(MissingError, match="no such split"):
        fields(f"hf:{tmp_path}?split=dev")


@pytest.mark.parametrize(
    ("name", "kinds"), [("topics", {"text", "label"}), ("entities", {"tokens", "labels"})]
)
def test_the_samples(name, kinds):
    train, test = fields(f"sample:{name}/train"), fields(f"sample:{name}/test")
    assert train == fields(f"sample:{name}/train"), "the same every time"
    assert set(train[0]) == kinds and len(train) > 2 * len(test) > 200
    told = [record.get("text") or " ".join(record["tokens"]) for record in train + test]
    assert len(set(told)) > 0.5 * len(told)
