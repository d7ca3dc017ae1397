"""Notification of a run's end: its exit record as CloudEvents 1.0 in JSON, or a text as Slack takes it.

The URL is a secret (whoever has a webhook's may post to it): it comes in a variable, and is never shown.
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
"""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import tenacity

from components.lib.core import public_hosts
from components.lib.core.errors import ConfigError, IntegrityError, MissingError, ServiceError, TrunklineError
from components.lib.core.notifications import FORM, FORMS, KINDS, ON, URL
from components.lib.storage import exit_record
from components.lib.storage.exit_record.record import Record, describe
from components.lib.storage.store import Store

ATTEMPTS, TIMEOUT = 4, 10.0
UNUSABLE = "the address of notifications cannot be used"
EXPECTED = f"https://..., or http:// to a host that {public_hosts.ALLOWED} names"
TYPES = {"failed": "trunkline.run.failed", "drift": "trunkline.model.drift"}  # of the others: .model.<kind>


def notify(store: Store, record: Record) -> None:
    """Posts what is asked for of a run that has ended; what does not arrive is told, and fails nothing."""
    url = os.environ.get(URL, "")
    if not url:
        return
    asked = [kind.strip() for kind in os.environ.get(ON, ",".join(KINDS)).split(",")]
    for kind in _kinds(store, record):
        if kind in asked:
            try:
                _post(url, *_written(kind, store, record))
                print(f"closing: notified of '{kind}'", flush=True)
            except TrunklineError as error:
                print(f"closing: nobody was notified of '{kind}': {error}", flush=True)


def _kinds(store: Store, record: Record) -> Iterator[str]:
    if record["status"] == exit_record.FAILED:
        yield "failed"
    verdicts = {result.get("verdict") for result in record["results"]}
    yield from (kind for kind in ("promoted", "rejected") if kind in verdicts)
    if any(not finding["passed"] for finding in _findings(store, record) if finding["rule"] == "anchor"):
        yield "drift"


def _findings(store: Store, record: Record) -> Iterator[Mapping[str, Any]]:
    """What the rules of the gate found in this run."""
    for output in (output for stage in record["stages"] for output in stage["outputs"]):
        if output["reference"].startswith("promotion/"):
            with suppress(MissingError, IntegrityError):
                manifest = store.resolve(output["reference"])
                decided = json.loads(store.open(manifest, "decision.json").read_bytes())
                yield from (finding for task in decided["tasks"] for finding in task["findings"])


def _written(kind: str, store: Store, record: Record) -> tuple[str, bytes]:
    """Content type and body."""
    form = os.environ.get(FORM, FORMS[0])
    if form == "slack":
        return "application/json", json.dumps({"text": _text(kind, record)}).encode()
    if form != FORMS[0]:
        raise ConfigError("a notification cannot have this form", where=FORM, found=form, expected=FORMS)
    event = {
        "specversion": "1.0",
        "id": f"{record['run_id']}.{kind}",  # twice the same, whoever gets it twice
        "source": store.uri,
        "type": TYPES.get(kind, f"trunkline.model.{kind}"),
        "subject": record["run_id"],
        "time": record["end"],
        "datacontenttype": "application/json",
        "data": record,
    }
    return "application/cloudevents+json; charset=utf-8", json.dumps(
        {name: value for name, value in event.items() if value is not None}
    ).encode()


def _text(kind: str, record: Record) -> str:
    """A line for the run, one for each task; `&`, `<` and `>` as Slack wants them."""
    lines = [f"Trunkline: {kind}: {describe(record).removeprefix('closing: ')}"]
    for result in record["results"]:
        if result.get("task"):
            value = result["value"]["value"]
            shown = "" if value is None else f", {result['metric']} {value:.4f}"
            lines.append(f"\u2022 {result['task']}: {result['verdict'] or 'not decided'}{shown}")
    text = "\n".join(lines)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _post(url: str, kind: str, body: bytes) -> None:
    """Raises a typed error if it does not arrive in four attempts; no redirect is followed."""
    scheme, host, port, path = _parts(url)
    tls = scheme == "https"
    if not host or not (tls or (scheme == "http" and public_hosts.allowed(host))):
        raise ConfigError(UNUSABLE, where=URL, expected=EXPECTED)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ServiceError),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=8),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        reraise=True,
    )
    for attempt in retrying:
        with attempt:
            _sent(public_hosts.connection(host, port, TIMEOUT, tls=tls), path, kind, body)


def _parts(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port, path with query; raises ConfigError, without the secret in it."""
    try:
        parts = urlsplit(url)
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        path.encode("ascii")
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return parts.scheme, parts.hostname or "", port, path
    except ValueError:
        raise ConfigError(UNUSABLE, where=URL, expected=f"{EXPECTED}, percent-encoded") from None


def _sent(line: http.client.HTTPConnection, path: str, kind: str, body: bytes) -> None:
    try:
        line.request("POST", path, body, {"Content-Type": kind, "User-Agent": "trunkline"})
        status = line.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise ServiceError(
            "the server of notifications does not answer", where=line.host, found=error
        ) from error
    finally:
        line.close()
    if status == 429 or status >= 500:
        raise ServiceError("the server of notifications failed", where=line.host, found=status)
    if not 200 <= status < 300:
        fix = f"look at the URL in the secret of {URL}; redirects are not followed"
        raise ConfigError("the server refused a notification", where=line.host, found=status, fix=fix)
