"""Objects of an S3 bucket, through boto3: a key, a prefix or a pattern."""

from __future__ import annotations

import fnmatch
import re
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from components.lib.core.errors import ConfigError, DataError, MissingError
from components.lib.data.listing import Object, no_data
from components.lib.storage.objects.s3 import client, explained

CHUNK = 1 << 20


def find(uri: str) -> list[Object]:
    """One listing; the identity is ETag and size. A key or a folder of that name wins over a pattern."""
    bucket, prefix = parse(uri)
    found: list[Object] = []
    with explained(uri):
        head, rest = _spelled(bucket, prefix)
        start = head + re.split(r"[*?\[]", rest)[0]
        matches = re.compile(fnmatch.translate(rest)).match if rest else None
        root = head if rest or not prefix or prefix.endswith("/") else f"{prefix}/"
        pages = client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=start)
        for entry in (entry for page in pages for entry in page.get("Contents", [])):
            key, name = entry["Key"], f"s3://{bucket}/{entry['Key']}"
            inside = matches(key[len(head) :]) if matches else _inside(key, prefix)
            if inside and not key.endswith("/"):
                exact = key == prefix
                why = "" if exact else no_data(key.removeprefix(root), rest)
                identity = f"{entry['ETag']}:{entry['Size']}"
                found.append(Object(name, identity, entry["Size"], name, exact=exact, passed=why))
    if not found:
        raise MissingError("there are no objects behind a source", where=uri, fix=_near(bucket, start))
    return found


def _spelled(bucket: str, prefix: str) -> tuple[str, str]:
    """The part of a key that is taken as it is, because it exists, and the part that is a pattern."""
    head = ""
    for segment in prefix.split("/"):
        if re.search(r"[*?\[]", segment):
            listing = partial(client().list_objects_v2, Bucket=bucket, MaxKeys=1)
            exact = listing(Prefix=head + segment).get("Contents", [{}])[0].get("Key")
            if exact != head + segment and not listing(Prefix=f"{head}{segment}/").get("Contents"):
                return head, prefix[len(head) :]
        head += f"{segment}/"
    return prefix, ""


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
