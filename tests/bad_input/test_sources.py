"""The matrix of addresses, credentials and places that cannot be read."""

import socket
import zipfile
from collections.abc import Callable

import pytest

from components.lib.data.sources import find, read_records
from tests.bad_input.refusal import ACCESS, ALMIGHTY, MISSING, SERVICE, SETTING, Row, as_anybody, judge, rows

PRIVATE = "not at a public address"

REFUSED = [
    Row("{tmp}/absent.txt", "did you mean 'absent.text'", "absent.txt", MISSING),
    Row("{tmp}/empty", "holds no data", "empty", MISSING),
    Row("{tmp}/*.none", "does not exist", "*.none", MISSING),
    Row("{tmp}/absent.text/a", "does not exist", "absent.text/a", MISSING),
    Row("{tmp}/loop", "1 links that lead nowhere", "loop", MISSING),
    Row("{tmp}/archive.zip!/b.txt", "no such member", "archive.zip", MISSING),
    Row("{tmp}/absent.text!/a", "does not exist", "absent.text!/a", MISSING),
    Row("", "empty", "sources", SETTING),
    Row("data\x00.txt", "control characters", "sources", SETTING),
    Row("http://example.org/a.txt", "plain http is refused", "http://example.org", ACCESS),
    Row("ftp://example.org/a.txt", "file, hf, https, npm, pypi, s3, sample", "ftp://example.org", SETTING),
    Row("https://169.254.169.254/latest/meta-data", PRIVATE, "169.254", ACCESS),
    Row("https://127.0.0.1/a.txt", PRIVATE, "127.0.0.1", ACCESS),
    Row("https://[::1]/a.txt", PRIVATE, "::1", ACCESS),
    Row("https://[::ffff:10.0.0.1]/a.txt", PRIVATE, "10.0.0.1", ACCESS),
    Row("https://10.1.2.3/a.txt", "TRUNKLINE_ALLOWED_HOSTS", "10.1.2.3", ACCESS),
    Row("https://localhost/a.txt", PRIVATE, "localhost", ACCESS),
    Row("https://no-such-host.invalid/a.txt", "name", "no-such-host.invalid", SERVICE),
    Row("https://example.org/a.txt#md5=1", "#sha256=", "example.org", SETTING),
    Row("https://exa mple/x", "host of a web address", "exa mple", SETTING),
    Row("https://[::1/x", "[::1", "sources", SETTING),
    Row("https://u:s3cr3t@example.org/a.txt", "TRUNKLINE_SECRET_", "sources", SETTING),
    Row("pypi:some-package/data.csv", "pypi:package==version", "some-package", SETTING),
    Row("pypi:a==1/../../etc/passwd#sha256=0", "pypi:package==version", "pypi:a", SETTING),
    Row("sample:topic/train", "did you mean 'topics/train'", "sample:topic", MISSING),
    Row("hf:owner/name?splt=train", "did you mean 'split'", "hf:owner/name", SETTING),
    Row("hf:owner/no-such-data-set", "does not answer", "no-such-data-set", SERVICE),
    Row("s3:///key", "names no bucket", "s3:///key", SETTING),
    Row("s3://b\n/x", "control characters", "sources", SETTING),
    Row("://x", "scheme", "://x", SETTING),
    Row(":", "scheme", ":", SETTING),
]


@rows(REFUSED)
def test_an_address_that_cannot_be_read(refused, tmp_path, row):
    (tmp_path / "empty").mkdir()
    (tmp_path / "absent.text").write_text("near")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    error = refused("ingestion", lambda _: list(read_records(row.given.format(tmp=tmp_path))))
    judge(error, row)
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


# id: what is wrong with the world, and a row of an address
S3: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Row]] = {
    "no such bucket": (nothing, Row("s3://no-such-bucket", "bucket does not exist", "no-such", MISSING)),
    "no such prefix": (nothing, Row("{bucket}/dta", "data/", "/dta", MISSING)),
    "no credentials": (without_keys, Row("{bucket}/data", "AWS_ACCESS_KEY_ID", "/data", ACCESS)),
    "no server": (without_server, Row("{bucket}/data", "127.0.0.1", "/data", SERVICE)),
}


@rows(S3)
def test_a_bucket_that_cannot_be_read(refused, bucket, monkeypatch, row):
    spoil, expected = row
    spoil(monkeypatch)
    error = refused("ingestion", lambda _: find(expected.given.format(bucket=bucket)))
    judge(error, expected)
    assert error["retriable"] == (expected.kind is SERVICE)


@pytest.mark.skipif(ALMIGHTY, reason="root reads everything")
@pytest.mark.parametrize("name", ["file.txt", "folder"])
def test_what_may_not_be_read(tmp_path, name):
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
