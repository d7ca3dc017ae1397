"""Objects in an S3 bucket, through boto3 alone.

Credentials and region come from boto3's own chain. `AWS_ENDPOINT_URL_S3` names another S3 server;
checksums that only AWS understands are then left out, and our own SHA-256 is checked in any case.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    wait_random_exponential,
)

from components.lib.core import patience
from components.lib.core.errors import (
    AccessError,
    ConfigError,
    IntegrityError,
    MissingError,
    ServiceError,
    TrunklineError,
)
from components.lib.storage.artifacts import sha256
from components.lib.storage.objects import Entry, Objects

DENIED = {"403", "AccessDenied", "Forbidden", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"}
ABSENT = {"404", "NoSuchKey", "NotFound"}
UNMET = {"412", "PreconditionFailed"}
CONFLICT = {"409", "ConditionalRequestConflict"}
DIGEST = "sha256"  # metadata of what `write` has put: small objects, which no manifest vouches for
TRIES = 4
T = TypeVar("T")


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
    # A session of its own looks for credentials anew: those of the default one stay as they were first found.
    return boto3.Session().client(
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


class S3Objects(Objects):
    """A key is an S3 key below the prefix."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.uri = f"s3://{bucket}/{prefix}".rstrip("/")
        self._client = client()

    def read(self, key: str) -> bytes:
        def get(client: Any) -> bytes:
            answer = client.get_object(Bucket=self.bucket, Key=self._key(key))
            data: bytes = answer["Body"].read()
            metadata = {name.lower(): value for name, value in answer["Metadata"].items()}  # or Sha256
            expected = metadata.get(DIGEST)
            if expected and sha256(data) != expected:
                what, found = "an object is not what was written", f"{len(data)} bytes"
                raise IntegrityError(
                    what, where=f"{self.uri}/{key}", found=found, expected=f"sha256 {expected}"
                )
            return data

        return self._asked(key, get)

    def write(self, key: str, data: bytes, *, if_absent: bool = False) -> bool:
        condition = {"IfNoneMatch": "*"} if if_absent else {}
        metadata = {DIGEST: sha256(data)}

        def put(client: Any) -> None:
            place = {"Bucket": self.bucket, "Key": self._key(key)}
            client.put_object(Body=data, Metadata=metadata, **place, **condition)

        try:
            self._asked(key, put)
        except PreconditionFailed:
            # A retried request may meet its own first attempt: the same bytes mean that we won.
            return self.read(key) == data
        return True

    def upload(self, source: Path, key: str) -> None:
        self._asked(key, lambda client: client.upload_file(str(source), self.bucket, self._key(key)))

    def download(self, key: str, target: Path) -> None:
        self._asked(key, lambda client: client.download_file(self.bucket, self._key(key), str(target)))

    def entries(self, prefix: str) -> Iterator[Entry]:
        place, strip = {"Bucket": self.bucket, "Prefix": self._key(prefix)}, len(self._key(""))
        while True:
            page = self._asked(prefix, lambda client: client.list_objects_v2(**place))
            for found in page.get("Contents", []):
                yield Entry(found["Key"][strip:], found["Size"], found["LastModified"].timestamp())
            if not page.get("IsTruncated"):
                return
            place["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, key: str) -> None:
        self._asked(key, lambda client: client.delete_object(Bucket=self.bucket, Key=self._key(key)))

    def local(self, key: str) -> Path | None:
        return None

    def _asked(self, key: str, call: Callable[[Any], T]) -> T:
        """The answer to `call`, retried where boto3 does not do so by itself.

        A truncated or corrupt body is read again, an outage that outlasts boto3's own retries is sat out, and
        of two conditional writes that meet (409) one wins. Expired credentials are looked up once more.

        Raises:
            PreconditionFailed: if the object of a conditional write is there.
        """
        where = f"{self.uri}/{key}"

        def ask() -> T:
            try:
                with explained(where):
                    return call(self._client)
            except CredentialsExpired:  # newer ones may be there by now
                self._client = client()
                with explained(where):
                    return call(self._client)

        retrying = Retrying(
            retry=retry_if_exception_type((ServiceError, IntegrityError))
            & retry_if_not_exception_type(PreconditionFailed),
            wait=wait_random_exponential(0.2, max=5.0),
            stop=_exhausted,
            reraise=True,
        )
        return retrying(ask)

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key


class PreconditionFailed(ServiceError):
    """A conditional write found the object there."""


class Conflict(ServiceError):
    """A conditional write met another one under way."""


class Broken(ServiceError):
    """A body ended early, or is not what S3 says it is."""


class CredentialsExpired(AccessError):
    """Credentials have run out."""


def _exhausted(state: RetryCallState) -> bool:
    """Whether to retry no more: an outage for as long as `patience` says, damage and conflicts TRIES times.

    botocore's own six attempts are over in one or two seconds.
    """
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, IntegrityError | Broken | Conflict):
        return state.attempt_number >= TRIES
    return (state.seconds_since_start or 0.0) > patience.seconds()


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Translates boto3's errors into typed ones that say what to do."""
    from boto3.exceptions import Boto3Error
    from botocore import exceptions

    broken = (
        exceptions.IncompleteReadError,
        exceptions.ResponseStreamingError,
        exceptions.FlexibleChecksumError,
    )
    try:
        yield
    except exceptions.ClientError as error:
        raise _typed(error.response, where) from error
    except exceptions.NoCredentialsError as error:
        fix = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a service account with a role"
        raise AccessError("there are no credentials for S3", where=where, fix=fix) from error
    except broken as error:
        found = f"{type(error).__name__}: {error}"
        raise Broken("S3 sends broken answers", where=where, found=found) from error
    except exceptions.BotoCoreError as error:
        raise ServiceError("S3 does not answer", where=where, found=str(error)) from error
    except Boto3Error as error:  # a transfer of several parts wraps what its requests raised
        if isinstance(error.__context__, exceptions.ClientError):
            raise _typed(error.__context__.response, where) from error
        raise ServiceError("S3 does not answer", where=where, found=str(error)) from error


def _typed(response: dict[str, Any], where: str) -> TrunklineError:
    code, message = (response["Error"].get(name, "") for name in ("Code", "Message"))
    found = f"{code}: {message}"
    if code == "NoSuchBucket":
        return MissingError("the bucket does not exist", where=where, fix="create it or correct its name")
    if code in ABSENT:
        return MissingError("the store has no such object", where=where)
    if code in UNMET:
        return PreconditionFailed("the store holds another object", where=where, found=found)
    if code in CONFLICT:
        return Conflict("two writers met", where=where, found=found)
    if code in EXPIRED:
        return CredentialsExpired(
            "the credentials for S3 have run out", where=where, found=found, fix="renew them"
        )
    if code == "RequestTimeTooSkewed":
        skew = _skew(response)
        fix = "set this machine's clock"
        return AccessError("this machine's clock is wrong", where=where, found=f"{skew}{found}", fix=fix)
    if code in DENIED:
        return AccessError("S3 refused the request", where=where, found=found)
    return ServiceError("S3 failed", where=where, found=found)


def _skew(response: dict[str, Any]) -> str:
    """How far this machine's clock is ahead of the server's, if the server says its time."""
    date = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return f"{time.time() - parsedate_to_datetime(date).timestamp():+.0f} s; " if date else ""
