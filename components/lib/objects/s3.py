"""Objects in an S3 bucket, through boto3 alone.

Credentials and region come from boto3's own chain. `AWS_ENDPOINT_URL_S3` names another S3 server;
checksums that only AWS understands are then left out, and our own SHA-256 is checked in any case.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from components.lib.errors import AccessError, ConfigError, MissingError, ServiceError, TrunklineError
from components.lib.objects import Entry

DENIED = {
    "403", "AccessDenied", "ExpiredToken", "Forbidden", "InvalidAccessKeyId", "InvalidToken",
    "RequestTimeTooSkewed", "SignatureDoesNotMatch", "TokenRefreshRequired",
}  # fmt: skip
ABSENT = {"404", "NoSuchKey", "NotFound"}
LOST_RACE = {"412", "PreconditionFailed", "409", "ConditionalRequestConflict"}


def connect(uri: str) -> S3Objects:
    """`uri` is s3://bucket or s3://bucket/prefix."""
    parts = urlsplit(uri)
    if not parts.netloc:
        raise ConfigError(
            "the store names no bucket", where="store", found=uri, expected="s3://bucket/prefix"
        )
    return S3Objects(parts.netloc, parts.path.strip("/"))


def client() -> Any:
    """A boto3 S3 client with explicit time-outs and retries (botocore's defaults changed in 1.44)."""
    import boto3
    from botocore.config import Config

    custom = bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    checksums = "when_required" if custom else "when_supported"
    return boto3.client(
        "s3",
        config=Config(
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 6},
            max_pool_connections=32,
            tcp_keepalive=True,
            request_checksum_calculation=checksums,
            response_checksum_validation=checksums,
        ),
    )


class S3Objects:
    """A key is an S3 key below the prefix."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        self._client = client()

    def read(self, key: str) -> bytes:
        with explained(f"{self.uri}/{key}"):
            body = self._client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"]
            data: bytes = body.read()
            return data

    def write(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        from botocore.exceptions import ClientError

        condition = {"IfNoneMatch": "*"} if if_absent else {}
        with explained(f"{self.uri}/{key}"):
            try:
                self._client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data, **condition)
            except ClientError as error:
                if error.response["Error"]["Code"] not in LOST_RACE:
                    raise
                # A retried request may meet its own first attempt: the same bytes mean that we won.
                return self.read(key) == data
        return True

    def upload(self, source: Path, key: str) -> None:
        with explained(f"{self.uri}/{key}"):
            self._client.upload_file(str(source), self.bucket, self._key(key))

    def download(self, key: str, target: Path) -> None:
        with explained(f"{self.uri}/{key}"):
            self._client.download_file(self.bucket, self._key(key), str(target))

    def keys(self, prefix: str) -> Iterator[str]:
        yield from (entry.key for entry in self.entries(prefix))

    def entries(self, prefix: str) -> Iterator[Entry]:
        with explained(f"{self.uri}/{prefix}"):
            pages = self._client.get_paginator("list_objects_v2")
            strip = len(self._key(""))
            for page in pages.paginate(Bucket=self.bucket, Prefix=self._key(prefix)):
                for found in page.get("Contents", []):
                    yield Entry(found["Key"][strip:], found["Size"], found["LastModified"].timestamp())

    def delete(self, key: str) -> None:
        with explained(f"{self.uri}/{key}"):
            self._client.delete_object(Bucket=self.bucket, Key=self._key(key))

    def local(self, key: str) -> Path | None:
        return None

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turns boto3's errors into typed ones that say what to do."""
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        yield
    except ClientError as error:
        raise _typed(error.response["Error"], where) from error
    except NoCredentialsError as error:
        fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a service account with a role"
        raise AccessError("there are no credentials for S3", where=where, fix=fix) from error
    except BotoCoreError as error:
        raise ServiceError("S3 does not answer", where=where, found=str(error)) from error


def _typed(error: dict[str, str], where: str) -> TrunklineError:
    code, message = error.get("Code", ""), error.get("Message", "")
    if code == "NoSuchBucket":
        return MissingError("the bucket does not exist", where=where, fix="create it or correct its name")
    if code in ABSENT:
        return MissingError("the store has no such object", where=where)
    if code in DENIED:
        return AccessError("S3 refused the request", where=where, found=f"{code}: {message}")
    return ServiceError("S3 failed", where=where, found=f"{code}: {message}")
