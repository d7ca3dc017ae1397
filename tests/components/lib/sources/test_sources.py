from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from components.lib import sources
from components.lib.errors import (
    AccessError,
    ConfigError,
    DataError,
    MissingError,
    ServiceError,
    TrunklineError,
)
from components.lib.sources import find, read_records


def names(uri: str) -> list[str]:
    return [entry.name for entry in find(uri)]


def fields(uri: str, **options) -> list:
    return [record.fields for record in read_records(uri, **options)]


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


REFUSED = [
    ("{tmp}/absent.txt", MissingError, 66, "did you mean 'absent.text'"),
    ("{tmp}/empty", MissingError, 66, "holds no files"),
    ("{tmp}/*.none", MissingError, 66, "does not exist"),
    ("http://example.org/a.txt", AccessError, 77, "plain http is refused"),
    ("ftp://example.org/a.txt", ConfigError, 78, "file, hf, https, pypi, s3, sample"),
    ("", ConfigError, 78, "empty"),
    ("data\x00.txt", ConfigError, 78, "control characters"),
    ("https://169.254.169.254/latest/meta-data", AccessError, 77, "not at a public address"),
    ("https://127.0.0.1/a.txt", AccessError, 77, "not at a public address"),
    ("https://[::1]/a.txt", AccessError, 77, "not at a public address"),
    ("https://[::ffff:10.0.0.1]/a.txt", AccessError, 77, "not at a public address"),
    ("https://10.1.2.3/a.txt", AccessError, 77, "TRUNKLINE_ALLOWED_HOSTS"),
    ("https://localhost/a.txt", AccessError, 77, "not at a public address"),
    ("https://no-such-host.invalid/a.txt", ServiceError, 69, "no-such-host.invalid"),
    ("https://example.org/a.txt#md5=1", ConfigError, 78, "#sha256="),
    ("pypi:some-package/data.csv", ConfigError, 78, "pypi:package==version"),
    ("sample:topic/train", MissingError, 66, "did you mean 'topics/train'"),
    ("hf:owner/name?splt=train", ConfigError, 78, "did you mean 'split'"),
    ("hf:owner/no-such-data-set", ServiceError, 69, "owner/no-such-data-set"),
    ("s3:///key", ConfigError, 78, "names no bucket"),
]


@pytest.mark.parametrize(("uri", "kind", "code", "says"), REFUSED)
def test_a_source_that_cannot_be_is_a_typed_error(tmp_path, uri, kind, code, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "absent.text").write_text("near")
    with pytest.raises(kind) as caught:
        list(read_records(uri.format(tmp=tmp_path)))
    assert caught.value.exit_code == code and says in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read(folder):
    (folder / "a.txt").chmod(0)
    with pytest.raises(AccessError, match="may not be read"):
        fields(f"{folder}/a.txt")


@pytest.fixture
def bucket(s3: str) -> str:
    from components.lib.objects.s3 import client

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
    from components.lib.objects.s3 import client

    entry = find(f"{bucket}/data/a.jsonl")[0]
    client().put_object(Bucket=bucket.removeprefix("s3://"), Key="data/a.jsonl", Body=b'{"text": "new"}\n')
    assert find(f"{bucket}/data/a.jsonl")[0].identity != entry.identity
    with pytest.raises(DataError, match="changed while it was read"):
        sources.fetch(entry, tmp_path)


def test_a_wrong_bucket_and_a_wrong_prefix(bucket):
    with pytest.raises(MissingError, match="bucket does not exist"):
        find("s3://no-such-bucket-here/data")
    with pytest.raises(MissingError) as caught:
        find(f"{bucket}/dta")
    assert "data/" in caught.value.fix and caught.value.exit_code == 66


def test_no_credentials(bucket, monkeypatch):
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers credentials
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(AccessError, match="no credentials") as caught:
        find(f"{bucket}/data")
    assert caught.value.exit_code == 77 and "AWS_ACCESS_KEY_ID" in caught.value.fix


def test_s3_is_not_there(monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free.getsockname()[1]}")
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # botocore's back-off
    with pytest.raises(ServiceError) as caught:
        find("s3://some-bucket/data")
    assert caught.value.retriable


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


@pytest.mark.parametrize(
    "uri", ["s3://b\n/x", "https://exa mple/x", "pypi:a==1/../../etc/passwd#sha256=0", "://x", ":"]
)
def test_a_malformed_uri_never_ends_in_a_traceback(uri):
    with pytest.raises(TrunklineError):
        find(uri)
