"""A Kubeflow Pipelines server that speaks as much of v2beta1 as we use, over HTTP, with its rules.

Bodies are read by the models of `kfp-server-api`: a field that the API does not have is refused, and an empty
text is none, as in protobuf. `release` is 2.16 or 2.17: the newer one has fields that the older one refuses
and omits. What a real server answered is in `recordings`; test_recordings.py compares.
"""

import json
import re
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api as api
import yaml

from tests.fakes import http_server
from tests.fakes.kubernetes_rights import Act, allowed

NEWER = {"plugins_input", "plugins_output", "tags"}  # 2.17
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 503: 14}  # HTTP -> gRPC
_CLIENT = api.ApiClient()


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Backend:
    """The state of the server. `before` is called with each request and may raise, or change anything.

    `rules` are what Kubernetes answers where there are many users: what the account may do. A run goes
    through `states`, one with each question, until `moved` says where it is. `told` is called with what was
    done to a run: create, terminate, retry.
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
    told: Callable[[str, str], None] = lambda word, run_id: None
    page: int = 100
    clock: int = 0

    def stamp(self) -> str:
        """Each thing is made a second after the one before."""
        self.clock += 1
        return f"2026-11-24T00:{self.clock // 60:02}:{self.clock % 60:02}Z"

    def moved(self, run_id: str, state: str) -> None:
        """From now on the run is in this state; each one is kept."""
        run = self.runs[run_id]
        run |= {"state": state, "moved": True}
        if state in ("SUCCEEDED", "FAILED"):
            run["finished_at"] = self.stamp()
        run["state_history"].append({"update_time": self.stamp(), "state": state})

    def enabled(self) -> list[dict]:
        """The recurring runs that start runs."""
        return [one for one in self.recurring.values() if one["status"] == "ENABLED"]

    def route(self, method: str, path: str, query: dict[str, str], body: Any) -> dict:
        """The answer to one request."""
        self.before(method, path)
        self.requests.append(f"{method} {path}")
        for pattern, verb, right, action in ROUTES:
            found = re.fullmatch(pattern, path.removeprefix("/apis/v2beta1/"))
            if found and verb == method:
                wanted = right.format(*found.groups())
                if self.rules is not None and wanted and not allowed(self.rules, acting(wanted)):
                    raise Refused(403, f"the account may not {wanted}")
                return action(self, query, body, *found.groups())
        raise Refused(404, f"Not Found: {method} {path}")


def acting(right: str) -> Act:
    """What KFP asks Kubernetes: a verb and one of its own kinds; `jobs` are recurring runs."""
    verb, kind = right.split()
    return Act(verb, "pipelines.kubeflow.org", kind)


def form(backend: Backend, kind: str, values: dict[str, Any]) -> dict[str, Any]:
    """`values` as the model `kind` understands them; refuses what it, or an older release, does not know."""
    known = getattr(api, kind).attribute_map.values()
    strange = set(values) - (set(known) - (NEWER if backend.release < "2.17" else set()))
    if strange:
        raise Refused(400, f"unknown field {sorted(strange)} of {kind}")
    response = type("Response", (), {"data": json.dumps(values)})
    return _stated(_CLIENT.sanitize_for_serialization(_CLIENT.deserialize(response, kind)))


def _stated(values: dict[str, Any]) -> dict[str, Any]:
    """A message without its empty texts; those among the parameters of a run are values."""
    inner = {
        name: _stated(one) for name, one in values.items() if isinstance(one, dict) and name != "parameters"
    }
    return {name: one for name, one in {**values, **inner}.items() if one != ""}


def shown(backend: Backend, values: dict[str, Any]) -> dict[str, Any]:
    """An answer of this release; the newer one has fields that no client knows yet."""
    if backend.release < "2.17":
        return {name: value for name, value in values.items() if name not in NEWER}
    return {**values, "plugins_input": {"mlflow": {}}, "a_field_of_tomorrow": {"x": 1}}


def _listing(backend: Backend, table: dict, name: str, query: dict, **where: str) -> dict:
    if backend.multi_user and name != "pipeline_versions" and not query.get("namespace"):
        raise Refused(400, "a namespace is needed")
    for wanted in json.loads(query.get("filter", "{}")).get("predicates", ()):
        assert wanted["operation"] == 1, "EQUALS"
        where[wanted["key"]] = wanted["stringValue"]
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
        raise Refused(409, f"The name {values['name']} already exist. Please specify a new name")
    return _add(backend, backend.pipelines, "pipeline_id", values)


def _upload_version(backend: Backend, query: dict, body: bytes) -> dict:
    """The content is the one file of a form."""
    specification = list(
        yaml.safe_load_all(message_from_bytes(body).get_payload()[0].get_payload(decode=True))
    )
    assert "root" in specification[0] and "platforms" in specification[1]
    if query["pipelineid"] not in backend.pipelines:
        raise Refused(404, "no such pipeline")
    if any(one["name"] == query["name"] for one in backend.versions.values()):
        raise Refused(409, "a version with this name exists")
    names = {"name": query["name"], "display_name": query.get("display_name", query["name"])}
    names["description"] = query.get("description", "")
    values = {"pipeline_id": query["pipelineid"], **names, "pipeline_spec": specification[0]}
    return _add(backend, backend.versions, "pipeline_version_id", values)


def _check_reference(backend: Backend, values: dict) -> None:
    """A run names a version that exists, or the newest, and gives parameters that this version has."""
    wanted = values["pipeline_version_reference"].items()
    of = [one for one in backend.versions.values() if wanted <= one.items()]
    if not of:
        raise Refused(404, "no such version of a pipeline")
    newest = max(of, key=lambda one: one["created_at"])["pipeline_spec"]["root"]
    strange = values["runtime_config"]["parameters"].keys() - newest["inputDefinitions"]["parameters"].keys()
    if strange:
        raise Refused(400, f"parameters {sorted(strange)} are not of this pipeline")
    if values.get("experiment_id") not in backend.experiments:
        raise Refused(400, "no such experiment")


def _create_run(backend: Backend, query: dict, body: dict) -> dict:
    values = {"service_account": "pipeline-runner", **form(backend, "V2beta1Run", body)}
    _check_reference(backend, values)
    assert "pipeline_version_id" in values["pipeline_version_reference"]
    values |= {"storage_state": "AVAILABLE", "scheduled_at": backend.stamp(), "state_history": []}
    run = _add(backend, backend.runs, "run_id", values)
    backend.told("create", run["run_id"])
    return run


def _get_run(backend: Backend, query: dict, body: dict, run_id: str) -> dict:
    if run_id not in backend.runs:
        raise Refused(404, f"Failed to get a run: Failed to fetch run {run_id}: Run {run_id} not found")
    run, states = backend.runs[run_id], backend.states
    if run.get("moved"):
        return shown(backend, {name: value for name, value in run.items() if name != "moved"})
    run["state"] = states.pop(0) if len(states) > 1 else states[0]
    if run["state"] not in [one["state"] for one in run["state_history"][-1:]]:
        run["state_history"].append({"update_time": backend.stamp(), "state": run["state"]})
    return shown(backend, run | ({} if len(states) > 1 else {"finished_at": backend.stamp()}))


def _tell(backend: Backend, query: dict, body: dict, run_id: str, word: str) -> dict:
    """Terminate and Retry, as they were recorded: CANCELING comes before the end, which is FAILED."""
    state = backend.runs[run_id].get("state")
    if (state == "FAILED") != (word == "retry"):
        raise Refused(400, f"Failed to {word} a run: it is {state}")
    backend.moved(run_id, {"terminate": "CANCELING", "retry": "RUNNING"}[word])
    backend.told(word, run_id)
    return {}


def _deletes(table: str) -> Callable[..., dict]:
    def delete(backend: Backend, query: dict, body: dict, *names: str) -> dict:
        if getattr(backend, table).pop(names[-1], None) is None:
            raise Refused(404, f"{table}: {names[-1]} not found")
        return {}

    return delete


def _create_recurring(backend: Backend, query: dict, body: dict) -> dict:
    values = form(backend, "V2beta1RecurringRun", body)
    _check_reference(backend, values)
    if not 1 <= int(values.get("max_concurrency", 0)) <= 10:
        raise Refused(400, "Max concurrency of a recurring run must be at least 1 and at most 10")
    if len(values["trigger"]["cron_schedule"]["cron"].split()) != 6:
        raise Refused(400, "Schedule cron is not a supported format")
    values["status"] = {"ENABLE": "ENABLED", "DISABLE": "DISABLED"}[values.pop("mode")]
    values["max_concurrency"] = str(values["max_concurrency"])  # int64 is text in protobuf's JSON
    return _add(backend, backend.recurring, "recurring_run_id", values)


def _switch(backend: Backend, query: dict, body: dict, name: str, word: str) -> dict:
    backend.recurring[name]["status"] = {"enable": "ENABLED", "disable": "DISABLED"}[word]
    return {}


def _create_experiment(backend: Backend, query: dict, body: dict) -> dict:
    return _add(backend, backend.experiments, "experiment_id", form(backend, "V2beta1Experiment", body))


def _lists(table: str, name: str = "") -> Callable[..., dict]:
    def listed(backend: Backend, query: dict, body: dict) -> dict:
        where = {"experiment_id": query["experiment_id"]} if query.get("experiment_id") else {}
        return _listing(backend, getattr(backend, table), name or table, query, **where)

    return listed


def _list_versions(backend: Backend, query: dict, body: dict, name: str) -> dict:
    return _listing(backend, backend.versions, "pipeline_versions", query, pipeline_id=name)


ROUTES: list[tuple[str, str, str, Callable[..., dict]]] = [
    ("healthz", "GET", "", lambda backend, query, body: {"multi_user": backend.multi_user}),
    ("pipelines", "GET", "list pipelines", _lists("pipelines")),
    ("pipelines", "POST", "create pipelines", _create_pipeline),
    ("pipelines/upload_version", "POST", "create pipelines", _upload_version),
    ("pipelines/([^/]+)/versions", "GET", "list pipelines", _list_versions),
    ("experiments", "GET", "list experiments", _lists("experiments")),
    ("experiments", "POST", "create experiments", _create_experiment),
    ("runs", "POST", "create runs", _create_run),
    ("runs", "GET", "list runs", _lists("runs")),
    ("runs/([^/:]+)", "GET", "get runs", _get_run),
    ("runs/([^/:]+)", "DELETE", "delete runs", _deletes("runs")),
    ("runs/([^/:]+):(terminate|retry)", "POST", "{1} runs", _tell),
    ("experiments/([^/:]+)", "DELETE", "delete experiments", _deletes("experiments")),
    ("pipelines/([^/:]+)", "DELETE", "delete pipelines", _deletes("pipelines")),
    ("pipelines/([^/]+)/versions/([^/]+)", "DELETE", "delete pipelines", _deletes("versions")),
    ("recurringruns", "GET", "list jobs", _lists("recurring", "recurringRuns")),
    ("recurringruns", "POST", "create jobs", _create_recurring),
    ("recurringruns/([^/:]+)", "DELETE", "delete jobs", _deletes("recurring")),
    ("recurringruns/([^/:]+):(enable|disable)", "POST", "{1} jobs", _switch),
]


class Handler(http_server.Handler):
    backend: Backend

    def answer(self) -> None:
        parts, kind = urlsplit(self.path), self.headers.get("Content-Type", "application/json")
        query, body = {name: values[0] for name, values in parse_qs(parts.query).items()}, self.body()
        if kind.startswith("application/json"):
            body = json.loads(body or b"{}")
        else:
            body = b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body
        try:
            if self.backend.token and self.headers.get("Authorization") != f"Bearer {self.backend.token}":
                raise Refused(401, "Unauthenticated")
            self.send(200, self.backend.route(self.command, parts.path, query, body))
        except Refused as error:
            self.send(error.status, {"code": CODES[error.status], "message": str(error), "details": []})

    do_GET = do_POST = do_DELETE = answer


def serving(backend: Backend) -> AbstractContextManager[str]:
    """The address of a server on a free port."""
    return http_server.serving(Handler, backend=backend)
