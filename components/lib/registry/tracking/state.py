"""Health check of MLflow before a run, without importing it: its address, its database, the models it has.

What a sqlite file holds is read from its tables, what a server holds from its REST interface.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any
from urllib.parse import urlencode, urlsplit

from components.lib.core.errors import AccessError, ConfigError, MissingError, ServiceError
from components.lib.registry.tracking.database import File, probe_file
from components.lib.registry.tracking.server import EXPECTED, access_fix, check, database, deleted

REFERENCE, MODEL_ID = "trunkline.reference", "trunkline.model_id"  # tags of a version that is ours
ALIASES = ("champion", "challenger")
MOST = 16 << 20  # bytes of an answer


def probe(
    uri: str, timeout: float = 3.0, experiment: str = "", models: Sequence[str] = (), trunk: str = ""
) -> dict[str, str]:
    """Whether MLflow can be used for a run, in at most `timeout` seconds and without importing mlflow.

    A sqlite file that was moved with its files is corrected: see `database.relocate`.

    Args:
        uri, timeout: see above.
        experiment: where the run is to be logged.
        models: registered models of branches, whose champions will be fetched.
        trunk: the registered model of the trunk; the tags of its newest version are returned.

    Raises:
        ConfigError: if it is not MLflow, or one that this run cannot use as it is: see `_examine`.
        AccessError: if the server refuses us, or the folder of a sqlite file cannot be written.
        MissingError: if the files of a champion are gone.
        ServiceError: if nobody answers in time, or another process holds the database.
    """
    check(uri)
    found: list[dict[str, str] | Exception] = []

    def ask() -> None:
        try:
            found.append(_asked(uri, timeout, experiment, models, trunk))
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=ask, daemon=True)  # a name look-up knows no timeout of its own
    thread.start()
    thread.join(timeout)
    if not found:
        raise ServiceError("the MLflow server does not answer", where=uri, found=f"nothing in {timeout:g} s")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _asked(uri: str, timeout: float, experiment: str, models: Sequence[str], trunk: str) -> dict[str, str]:
    if path := database(uri):
        probe_file(path, uri)
        if not path.exists():
            return {}
        mlflow: File | _Server = File(path, uri)
    else:
        _probe_server(uri, timeout)
        mlflow = _Server(uri, timeout)
    _examine(mlflow, experiment, models, trunk)
    return mlflow.version(trunk, "challenger")[1]


def _examine(mlflow: File | _Server, experiment: str, models: Sequence[str], trunk: str) -> None:
    """Raises what would fail a run at its end: experiment deleted, models of somebody else, files lost."""
    if number := mlflow.deleted(experiment):
        raise deleted(mlflow.uri, experiment, number)
    for name in filter(None, (trunk, *models)):
        for alias in ALIASES:
            version, tags = mlflow.version(name, alias)
            if version and REFERENCE not in tags:
                raise ConfigError(
                    "a registered model of this name was made by somebody else",
                    where=f"models:/{name}@{alias} of {mlflow.uri}",
                    found=f"version {version}, which no run of this pipeline has registered",
                    fix="choose another registration.name, or delete this alias",
                )
            lost = mlflow.lost(tags.get(MODEL_ID, "")) if version and alias == "champion" else ""
            if lost and name in models:
                raise MissingError(
                    "the files of the champion are not where the registry says",
                    where=f"models:/{name}@{alias} of {mlflow.uri}",
                    found=f"nothing at {lost}",
                    fix="put them back there, or delete this alias: the next run then has no champion",
                )


class _Server:
    """MLflow's REST interface."""

    def __init__(self, uri: str, timeout: float) -> None:
        self.uri, self.timeout = uri, timeout

    def _one(self, call: str, **values: str) -> dict[str, Any]:
        """The answer; empty where there is no such thing, or a proxy does not let us ask."""
        url = f"{self.uri.rstrip('/')}/api/2.0/mlflow/{call}?{urlencode(values)}"
        try:
            status, body = request(url, self.timeout)
            found = json.loads(body) if status == 200 else {}
        except (OSError, http.client.HTTPException, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def deleted(self, experiment: str) -> str:
        """As that of a file."""
        found = self._one("experiments/get-by-name", experiment_name=experiment).get("experiment", {})
        return str(found["experiment_id"]) if found.get("lifecycle_stage") == "deleted" else ""

    def version(self, name: str, alias: str) -> tuple[str, dict[str, str]]:
        """As that of a file."""
        found = self._one("registered-models/alias", name=name, alias=alias).get("model_version", {})
        tags = {str(tag["key"]): str(tag.get("value", "")) for tag in found.get("tags", [])}
        return str(found.get("version", "")), tags

    def lost(self, model_id: str) -> str:
        """Not asked: the server itself keeps them, in a bucket mostly."""
        return ""


def _probe_server(uri: str, timeout: float) -> None:
    try:
        status, body = request(f"{uri.rstrip('/')}/version", timeout)
    except ValueError as error:
        raise ConfigError("the tracking URI is not a URL", where="tracking_uri", found=uri) from error
    except (OSError, http.client.HTTPException) as error:
        found = f"{type(error).__name__}: {error}"
        raise ServiceError("the MLflow server does not answer", where=uri, found=found) from error
    found = f"{status} {body[:200]}"
    if status in (401, 403):
        raise AccessError("the MLflow server refuses us", where=uri, found=found, fix=access_fix(body))
    if status >= 500:
        raise ServiceError("the MLflow server is ill", where=uri, found=found)
    if status != 200 or not body[:1].isdigit():
        raise ConfigError("something answers that is not MLflow", where=uri, found=found, expected=EXPECTED)
    if int(body.partition(".")[0]) < 3:
        raise ConfigError("the MLflow server is too old", where=uri, found=body, expected="3.17 or newer")


def request(url: str, timeout: float, body: Mapping[str, Any] | None = None) -> tuple[int, str]:
    """Status and the beginning of the body of a GET, or of a POST of JSON; follows no redirect."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    with closing(kind(parts.hostname or "", parts.port, timeout=timeout)) as connection:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        headers = {"User-Agent": "trunkline", **_authorization()}
        if body is None:
            connection.request("GET", path, headers=headers)
        else:
            headers["Content-Type"] = "application/json"
            connection.request("POST", path, json.dumps(body).encode(), headers)
        response = connection.getresponse()
        return response.status, response.read(MOST).decode("utf-8", "replace").strip()


def _authorization() -> dict[str, str]:
    """As mlflow's client says who we are."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    user, password = (os.environ.get(name, "") for name in names)
    both = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {both}"} if user else {}
