"""The matrix of addresses, credentials and places that cannot be read."""

from __future__ import annotations

import socket
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from components.lib.data.sources import find, read_records
from tests.bad_input.refusal import ACCESS, ALMIGHTY, DATA, MISSING, SERVICE, SETTING, Kind, as_anybody, judge

PRIVATE = "not at a public address"

# address, kind of error, what it says, where
REFUSED: list[tuple[str, Kind, str, str]] = [
    ("{tmp}/absent.txt", MISSING, "did you mean 'absent.text'", "absent.txt"),
    ("{tmp}/empty", MISSING, "holds no files", "empty"),
    ("{tmp}/*.none", MISSING, "does not exist", "*.none"),
    ("{tmp}/absent.text/a", MISSING, "does not exist", "absent.text/a"),
    ("{tmp}/loop", MISSING, "does not exist", "loop"),
    ("{tmp}/archive.zip!/b.txt", MISSING, "no such member", "archive.zip"),
    ("{tmp}/absent.text!/a", DATA, "only an archive", "absent.text"),
    ("", SETTING, "empty", "sources"),
    ("data\x00.txt", SETTING, "control characters", "sources"),
    ("http://example.org/a.txt", ACCESS, "plain http is refused", "http://example.org"),
    ("ftp://example.org/a.txt", SETTING, "file, hf, https, pypi, s3, sample", "ftp://example.org"),
    ("https://169.254.169.254/latest/meta-data", ACCESS, PRIVATE, "169.254"),
    ("https://127.0.0.1/a.txt", ACCESS, PRIVATE, "127.0.0.1"),
    ("https://[::1]/a.txt", ACCESS, PRIVATE, "::1"),
    ("https://[::ffff:10.0.0.1]/a.txt", ACCESS, PRIVATE, "10.0.0.1"),
    ("https://10.1.2.3/a.txt", ACCESS, "TRUNKLINE_ALLOWED_HOSTS", "10.1.2.3"),
    ("https://localhost/a.txt", ACCESS, PRIVATE, "localhost"),
    ("https://no-such-host.invalid/a.txt", SERVICE, "name", "no-such-host.invalid"),
    ("https://example.org/a.txt#md5=1", SETTING, "#sha256=", "example.org"),
    ("https://exa mple/x", SETTING, "host of a web address", "exa mple"),
    ("https://[::1/x", SETTING, "[::1", "sources"),
    ("https://u:s3cr3t@example.org/a.txt", SETTING, "TRUNKLINE_SECRET_", "sources"),
    ("pypi:some-package/data.csv", SETTING, "pypi:package==version", "some-package"),
    ("pypi:a==1/../../etc/passwd#sha256=0", SETTING, "pypi:package==version", "pypi:a"),
    ("sample:topic/train", MISSING, "did you mean 'topics/train'", "sample:topic"),
    ("hf:owner/name?splt=train", SETTING, "did you mean 'split'", "hf:owner/name"),
    ("hf:owner/no-such-data-set", SERVICE, "does not answer", "no-such-data-set"),
    ("s3:///key", SETTING, "names no bucket", "s3:///key"),
    ("s3://b\n/x", SETTING, "control characters", "sources"),
    ("://x", SETTING, "scheme", "://x"),
    (":", SETTING, "scheme", ":"),
]


@pytest.mark.parametrize(
    ("uri", "kind", "what", "where"), REFUSED, ids=[row[0] or "nothing" for row in REFUSED]
)
def test_an_address_that_cannot_be_read(refused, tmp_path, uri, kind, what, where):
    (tmp_path / "empty").mkdir()
    (tmp_path / "absent.text").write_text("near")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    error = refused("ingestion", lambda _: list(read_records(uri.format(tmp=tmp_path))))
    judge(error, kind, what, where)
    assert "s3cr3t" not in str(error)


@pytest.fixture
def bucket(s3: str) -> str:
    from components.lib.storage.objects.s3 import client

    client().put_object(Bucket=s3.removeprefix("s3://"), Key="data/a.jsonl", Body=b'{"text": "a"}\n')
    return s3


def without_keys(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("boto3.DEFAULT_SESSION", None)  # it remembers credentials
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        patch.delenv(name)


def without_server(patch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        patch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{free.getsockname()[1]}")
    patch.setattr("time.sleep", lambda seconds: None)  # botocore's back-off


def nothing(patch: pytest.MonkeyPatch) -> None:
    """The server is well."""


# id: what is wrong with the world, address, kind of error, what it says, where
S3: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str, Kind, str, str]] = {
    "no such bucket": (nothing, "s3://no-such-bucket-here/data", MISSING, "bucket does not exist", "no-such"),
    "no such prefix": (nothing, "{bucket}/dta", MISSING, "data/", "/dta"),
    "no credentials": (without_keys, "{bucket}/data", ACCESS, "AWS_ACCESS_KEY_ID", "/data"),
    "no server": (without_server, "{bucket}/data", SERVICE, "127.0.0.1", "/data"),
}


@pytest.mark.parametrize("row", S3)
def test_a_bucket_that_cannot_be_read(refused, bucket, monkeypatch, row):
    spoil, uri, kind, what, where = S3[row]
    spoil(monkeypatch)
    error = refused("ingestion", lambda _: find(uri.format(bucket=bucket)))
    judge(error, kind, what, where)
    assert error["retriable"] == (kind is SERVICE)


@pytest.mark.skipif(ALMIGHTY, reason="root reads everything")
@pytest.mark.parametrize("name", ["file.txt", "folder"])
def test_what_may_not_be_read(tmp_path: Path, name):
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file.txt", tmp_path / "folder" / "a.txt"):
        path.write_text("text")
    (tmp_path / name).chmod(0)
    done = as_anybody(
        "from components.lib.data.sources import read_records as read; list(read({!r}))", tmp_path
    )
    (tmp_path / name).chmod(0o700)
    assert done.returncode == 77, done.stderr
    assert "may not be read" in done.stdout and str(tmp_path / name) in done.stdout and "fix:" in done.stdout
