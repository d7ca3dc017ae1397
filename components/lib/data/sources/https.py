"""A file of a web server, over TLS, from public addresses only; see `public_hosts`.

Tokens and signatures in the query are written as ${TRUNKLINE_SECRET_NAME}; see `addresses`.
"""

from __future__ import annotations

import hashlib
import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from components.lib.core import addresses, public_hosts
from components.lib.core.errors import AccessError, ConfigError, DataError, MissingError, ServiceError
from components.lib.data.listing import Object

TIMEOUT, REDIRECTS, CHUNK = 30, 5, 1 << 20
LARGEST = 1 << 40  # bytes of a download


def find(uri: str) -> list[Object]:
    """One object; its identity is the server's ETag or date, or a SHA-256 given behind '#sha256='.

    A server that tells neither is read to the end for the SHA-256 of the content.
    """
    place, name, pinned = parse(uri)
    if pinned:
        return [Object(name, pinned, -1, uri)]
    with _response("HEAD", place) as answer:
        size = int(answer.headers.get("Content-Length") or -1)
        known = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
    if known:
        return [Object(name, f"{known}:{size}", size, uri)]
    digest = hashlib.sha256()
    for chunk in _chunks(place):
        digest.update(chunk)
    return [Object(name, f"sha256={digest.hexdigest()}", size, uri)]


def parse(uri: str) -> tuple[str, str, str]:
    """The address, its name without secrets, and the pinned digest or ''; raises ConfigError."""
    place, _, pinned = uri.partition("#")
    name, host = _name(place), urlsplit(place).hostname or ""
    if not re.fullmatch(r"[\w.:-]+", host):
        raise ConfigError("the host of a web address is malformed", where=name, found=repr(host))
    if pinned and not re.fullmatch("sha256=[0-9a-f]{64}", pinned):
        expected = "#sha256=<64 hex>"
        raise ConfigError("the fragment of an https source is malformed", where=name, expected=expected)
    return place, name, pinned


def fetch(entry: Object, folder: Path) -> Path:
    """Downloads the file and checks that it is still the one that was listed."""
    target, digest = folder / "object", hashlib.sha256()
    with target.open("wb") as file:
        for chunk in _chunks(entry.uri.partition("#")[0]):
            digest.update(chunk)
            file.write(chunk)
    found = f"sha256={digest.hexdigest()}"
    pinned = entry.identity.startswith("sha256=")
    if entry.identity != (found if pinned else find(entry.uri)[0].identity):
        what = "a web source is not the file that was listed or pinned"
        fix = "run again, or correct the sha256 of the source"
        raise DataError(what, where=entry.name, found=found, expected=entry.identity, fix=fix)
    return target


def _name(uri: str) -> str:
    """The URI without its secrets (user, signatures in the query), told apart by a hash of these."""
    parts = urlsplit(uri)
    secret = f"{parts.username or ''}?{parts.query}"
    mark = f"/~{hashlib.sha256(secret.encode()).hexdigest()[:8]}" if secret != "?" else ""
    return f"https://{parts.netloc.rpartition('@')[2]}{mark}{parts.path}"


def _chunks(uri: str) -> Iterator[bytes]:
    with _response("GET", uri) as answer:
        expected, size = answer.headers.get("Content-Length"), 0
        while chunk := answer.read(CHUNK):
            size += len(chunk)
            if size > LARGEST:
                raise DataError(
                    "a download is too large", where=_shown(uri), expected=f"<= {LARGEST:,} bytes"
                )
            yield chunk
        if expected and size != int(expected):
            raise ServiceError("a download was cut short", where=_shown(uri), found=size, expected=expected)


@contextmanager
def _response(method: str, uri: str) -> Iterator[http.client.HTTPResponse]:
    """The answer behind at most five redirects, each checked like the first address."""
    for _ in range(REDIRECTS + 1):
        with _answer(method, uri) as answer:
            if answer.status not in (301, 302, 303, 307, 308):
                _check_status(answer, uri)
                yield answer
                return
            uri = urljoin(uri, answer.headers.get("Location") or "")
    raise ServiceError("a web source redirects without end", where=_shown(uri))


@contextmanager
def _answer(method: str, uri: str) -> Iterator[http.client.HTTPResponse]:
    parts = urlsplit(uri)
    if parts.scheme != "https" or not parts.hostname:
        raise AccessError("a web source must stay with https", where=_shown(uri))
    connection = public_hosts.connection(parts.hostname, parts.port or 443, TIMEOUT)
    try:
        query = addresses.filled(parts.query)
        path = f"{parts.path or '/'}{'?' + query if query else ''}"
        connection.request(method, path, headers={"User-Agent": "trunkline", "Accept-Encoding": "identity"})
        with connection.getresponse() as answer:
            yield answer
    except (OSError, http.client.HTTPException) as error:
        raise ServiceError("a web source does not answer", where=_shown(uri), found=error) from error
    finally:
        connection.close()


def _check_status(answer: http.client.HTTPResponse, uri: str) -> None:
    found = f"{answer.status} {answer.reason}"
    if answer.status in (401, 403, 407):
        raise AccessError("the web server refused the request", where=_shown(uri), found=found)
    if answer.status in (404, 410):
        raise MissingError("there is no such file on the web server", where=_shown(uri), found=found)
    if answer.status != 200:
        raise ServiceError("the web server failed", where=_shown(uri), found=found)


def _shown(uri: str) -> str:
    """A URI without user, password and query, which may hold secrets."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.hostname}{parts.path}"
