"""Objects of an S3 bucket, through boto3: a key, a prefix or a pattern."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from urllib.parse import urlsplit

from components.lib.core.errors import ConfigError, DataError, MissingError
from components.lib.data.sources import Object
from components.lib.storage.objects.s3 import client, explained

CHUNK = 1 << 20


def find(uri: str) -> list[Object]:
    """One listing; the identity is the ETag and the size."""
    bucket, prefix = parse(uri)
    pattern = bool(re.search(r"[*?\[]", prefix))
    start = re.split(r"[*?\[]", prefix)[0]
    found = []
    with explained(uri):
        pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start)
        for entry in (entry for page in pages for entry in page.get("Contents", [])):
            key = entry["Key"]
            inside = fnmatch.fnmatchcase(key, prefix) if pattern else _inside(key, prefix)
            if inside and not key.endswith("/"):
                name = f"s3://{bucket}/{key}"
                found.append(Object(name, f"{entry['ETag']}:{entry['Size']}", entry["Size"], name))
    if not found:
        raise MissingError("there are no objects behind a source", where=uri, fix=_near(bucket, start))
    return found


def fetch(entry: Object, folder: Path) -> Path:
    """Downloads the object into `folder`, on condition that its ETag is still the one listed."""
    from botocore.exceptions import ClientError

    bucket, key = parse(entry.uri)
    target = folder / "object"
    with explained(entry.uri):
        try:
            etag = entry.identity.rpartition(":")[0]
            body = client().get_object(Bucket=bucket, Key=key, IfMatch=etag)["Body"]
        except ClientError as error:
            if error.response["Error"]["Code"] in ("PreconditionFailed", "412"):
                raise DataError(
                    "a source changed while it was read", where=entry.uri, fix="run again"
                ) from error
            raise
        with target.open("wb") as file:
            for chunk in body.iter_chunks(CHUNK):
                file.write(chunk)
    return target


def parse(uri: str) -> tuple[str, str]:
    """Bucket and key; raises ConfigError."""
    parts = urlsplit(uri.replace("?", "%3F").replace("#", "%23"))
    if not parts.netloc:
        raise ConfigError("the source names no bucket", where=uri, expected="s3://bucket/prefix")
    key = parts.path.removeprefix("/").replace("%3F", "?").replace("%23", "#")
    return parts.netloc, key


def _inside(key: str, prefix: str) -> bool:
    """A prefix is a key or a folder of keys: 'data' is not the beginning of 'database/x'."""
    return not prefix or key == prefix or key.startswith(prefix if prefix.endswith("/") else f"{prefix}/")


def _near(bucket: str, prefix: str) -> str:
    above = prefix.rstrip("/").rpartition("/")[0]
    with explained(f"s3://{bucket}"):
        page = client().list_objects_v2(
            Bucket=bucket, Prefix=f"{above}/" if above else "", Delimiter="/", MaxKeys=20
        )
    there = [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
    there += [entry["Key"] for entry in page.get("Contents", [])]
    return f"the bucket holds: {', '.join(there)}" if there else "the bucket holds nothing there"
