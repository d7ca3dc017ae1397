"""A Kubeflow Pipelines server that speaks as much of v2beta1 as we use, over HTTP, with its rules.

Bodies are read by the models of `kfp-server-api`: a field that the API does not have is refused. `release` is
2.16 or 2.17: the newer one has fields that the older one refuses and omits.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api
import yaml

from tests.fakes.kubernetes_rights import Act, allowed

NEWER = {"plugins_input", "plugins_output", "tags"}  # 2.17
_CLIENT = api.ApiClient()


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Backend:
    """The state of the server. `before` is called with each request and may raise, or change anything.

    `rules` are what Kubernetes answers where there are many users: what the account may do.
    """

    release: str = "2.16"
    token: str = ""
    multi_user: bool = False
    rules: list[dict] | None = None
    pipelines: dict[str, dict] = field(default_factory=dict)
    versions: dict[str, dict] = field(default_factory=dict)
    experiments: dict[str, dict] = field(default_factory=dict)
    runs: dict[str, dict] = field(default_factory=dict)
    recurring: dict[str, dict] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    before: Callable[[str, str], None] = lambda method, path: None
    states: list[str] = field(default_factory=lambda: ["PENDING", "RUNNING", "SUCCEEDED"])
    page: int = 100
    clock: int = 0

    def stamp(self) -> str:
        """Each thing is made a second after the one before."""
        self.clock += 1
        return f"2026-11-24T00:{self.clock // 60:02}:{self.clock % 60:02}Z"

    def enabled(self) -> list[dict]:
        """The recurring runs that start runs."""
        return [one for one in self.recurring.values() if one["status"] == "ENABLED"]


def form(backend: Backend, kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """`values` as the model `kind` understands them; refuses what it, or an older release, does not know."""
    known = getattr(api, kind).attribute_map.values()
    strange = set(values) - (set(known) - (NEWER if backend.release < "2.17" else set()))
    if strange:
        raise Refused(400, f"unknown field {sorted(strange)} of {kind}")
    response = type("Response", (), {"data": json.dumps(values)})
    return _CLIENT.sanitize_for_serialization(_CLIENT.deserialize(response, kind))


def shown(backend: Backend, values: dict[str, Any]) -> dict[str, Any]:
    """An answer of this release; the newer one has fields that no client knows yet."""
    if backend.release < "2.17":
        return {name: value for name, value in values.items() if name not in NEWER}
    return {**values, "plugins_input": {"mlflow": {}}, "a_field_of_tomorrow": {"x": 1}}


def route(backend: Backend, method: str, path: str, query: dict[str, str], body: bytes, kind: str) -> dict:
    """The answer to one request."""
    backend.before(method, path)
    backend.requests.append(f"{method} {path}")
    path = path.removeprefix("/apis/v2beta1/")
    for pattern, verb, right, action in ROUTES:
        found = re.fullmatch(pattern, path)
        if found and verb == method:
            wanted = right.format(*found.groups())
            if backend.rules is not None and wanted and not allowed(backend.rules, acting(wanted)):
                raise Refused(403, f"the account may not {wanted}")
            return action(backend, query, body if not kind.startswith("application/json") else
                          json.loads(body or b"{}"), *found.groups())  # fmt: skip
    raise Refused(404, f"Not Found: {method} {path}")


def _listing(backend: Backend, table: dict, name: str, query: dict, **where: str) -> dict:
    if backend.multi_user and name != "pipeline_versions" and not query.get("namespace"):
        raise Refused(400, "a namespace is needed")
    rows = [one for one in table.values() if all(one.get(k) == v for k, v in where.items())]
    by, _, order = query.get("sort_by", "created_at").partition(" ")
    rows.sort(key=lambda one: one[by], reverse=order == "desc")
    start, size = int(query.get("page_token") or 0), min(int(query.get("page_size", 20)), backend.page)
    page = {name: [shown(backend, one) for one in rows[start : start + size]]}
    return page | ({"next_page_token": str(start + size)} if start + size < len(rows) else {})


def _add(backend: Backend, table: dict, key: str, values: dict) -> dict:
    name = str(uuid.uuid4())
    table[name] = {**values, key: name, "created_at": backend.stamp()}
    return shown(backend, table[name])


def _create_pipeline(backend: Backend, query: dict, body: dict) -> dict:
    values = form(backend, "V2beta1Pipeline", body)
    if any(one["name"] == values["name"] for one in backend.pipelines.values()):
        raise Refused(409, "a pipeline with this name exists")
    return _add(backend, backend.pipelines, "pipeline_id", values)


def _upload_version(backend: Backend, query: dict, body: bytes) -> dict:
    """The content arrives as a form with one file."""
    message = message_from_bytes(b"Content-Type: " + query.pop("_type").encode() + b"\r\n\r\n" + body)
    content = message.get_payload()[0].get_payload(decode=True)
    specification = list(yaml.safe_load_all(content))
    assert "root" in specification[0] and "platforms" in specification[1]
    if query["pipelineid"] not in backend.pipelines:
        raise Refused(404, "no such pipeline")
    if any(one["name"] == query["name"] for one in backend.versions.values()):
        raise Refused(409, "a version with this name exists")
    values = {
        "pipeline_id": query["pipelineid"],
        "name": query["name"],
        "display_name": query["display_name"],
    }
    return _add(
        backend, backend.versions, "pipeline_version_id", {**values, "pipeline_spec": specification[0]}
    )


def _parameters(backend: Backend, values: dict, *, version: bool) -> None:
    """A run names a version that exists, and gives parameters that this version has."""
    reference = values["pipeline_version_reference"]
    of = [one for one in backend.versions.values() if one["pipeline_id"] == reference["pipeline_id"]]
    if version:
        of = [one for one in of if one["pipeline_version_id"] == reference["pipeline_version_id"]]
    if not of:
        raise Refused(404, "no such version of a pipeline")
    known = max(of, key=lambda one: one["created_at"])["pipeline_spec"]["root"]["inputDefinitions"][
        "parameters"
    ]
    strange = set(values["runtime_config"]["parameters"]) - set(known)
    if strange:
        raise Refused(400, f"parameters {sorted(strange)} are not of this pipeline")
    if values.get("experiment_id") not in backend.experiments:
        raise Refused(400, "no such experiment")


def _create_run(backend: Backend, query: dict, body: dict) -> dict:
    values = form(backend, "V2beta1Run", body)
    _parameters(backend, values, version=True)
    return _add(backend, backend.runs, "run_id", {**values, "state": "PENDING"})


def _get_run(backend: Backend, query: dict, body: dict, run_id: str) -> dict:
    if run_id not in backend.runs:
        raise Refused(404, "no such run")
    if len(backend.states) > 1:
        return {**backend.runs[run_id], "state": backend.states.pop(0)}
    return {**backend.runs[run_id], "state": backend.states[0]}


def _create_recurring(backend: Backend, query: dict, body: dict) -> dict:
    values = form(backend, "V2beta1RecurringRun", body)
    _parameters(backend, values, version="pipeline_version_id" in values["pipeline_version_reference"])
    if not 1 <= int(values.get("max_concurrency", 0)) <= 10:
        raise Refused(400, "Max concurrency of a recurring run must be at least 1 and at most 10")
    if len(values["trigger"]["cron_schedule"]["cron"].split()) != 6:
        raise Refused(400, "Schedule cron is not a supported format")
    values["status"] = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[values.pop("mode")]
    values["max_concurrency"] = str(values["max_concurrency"])  # int64 is text in protobuf's JSON
    return _add(backend, backend.recurring, "recurring_run_id", values)


def _delete_recurring(backend: Backend, query: dict, body: dict, name: str) -> dict:
    if backend.recurring.pop(name, None) is None:
        raise Refused(404, "no such recurring run")
    return {}


def _switch(backend: Backend, query: dict, body: dict, name: str, word: str) -> dict:
    backend.recurring[name]["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[word]
    return {}


def _create_experiment(backend: Backend, query: dict, body: dict) -> dict:
    return _add(backend, backend.experiments, "experiment_id", form(backend, "V2beta1Experiment", body))


def acting(right: str) -> Act:
    """What KFP asks Kubernetes: a verb and one of its own kinds; `jobs` are recurring runs."""
    verb, kind = right.split()
    return Act(verb, "pipelines.kubeflow.org", kind)


ROUTES: list[tuple[str, str, str, Callable[..., dict]]] = [
    ("healthz", "GET", "", lambda b, q, body: {"multi_user": b.multi_user}),
    ("pipelines", "GET", "list pipelines", lambda b, q, body: _listing(b, b.pipelines, "pipelines", q)),
    ("pipelines", "POST", "create pipelines", _create_pipeline),
    ("pipelines/upload_version", "POST", "create pipelines", _upload_version),
    ("pipelines/([^/]+)/versions", "GET", "list pipelines",
     lambda b, q, body, name: _listing(b, b.versions, "pipeline_versions", q, pipeline_id=name)),
    ("experiments", "GET", "list experiments",
     lambda b, q, body: _listing(b, b.experiments, "experiments", q)),
    ("experiments", "POST", "create experiments", _create_experiment),
    ("runs", "POST", "create runs", _create_run),
    ("runs/([^/]+)", "GET", "get runs", _get_run),
    ("recurringruns", "GET", "list jobs", lambda b, q, body: _listing(b, b.recurring, "recurringRuns", q)),
    ("recurringruns", "POST", "create jobs", _create_recurring),
    ("recurringruns/([^/:]+)", "DELETE", "delete jobs", _delete_recurring),
    ("recurringruns/([^/:]+):(enable|disable)", "POST", "{1} jobs", _switch),
]  # fmt: skip


@contextmanager
def serving(backend: Backend) -> Iterator[str]:
    """The address of a server on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one packet, else each answer waits for an acknowledgement

        def answer(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type", "application/json")
            query |= {"_type": kind} if kind.startswith("multipart") else {}
            try:
                if backend.token and self.headers.get("Authorization") != f"Bearer {backend.token}":
                    raise Refused(401, "Unauthenticated")
                status, found = 200, route(backend, self.command, parts.path, query, body, kind)
            except Refused as error:
                status, found = error.status, {"code": 3, "message": str(error), "details": []}
            data = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *words: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
