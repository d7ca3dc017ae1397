"""Connection to MLflow: time-outs, experiments, and translation of its errors."""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from components.lib.core import addresses
from components.lib.core.errors import (
    AccessError,
    ConfigError,
    InternalError,
    MissingError,
    OutputError,
    ServiceError,
    TrunklineError,
)

# Set before mlflow is imported; what the user has set already stays. A dead server then costs seconds
# (mlflow's own defaults: 7 retries of 120 s), and nothing is fetched from or reported to anybody.
ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "600",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}
EXPECTED = "http://host:port, https://host or sqlite:///path/mlflow.db"
DENIED = ("UNAUTHENTICATED", "PERMISSION_DENIED")


def connect(uri: str) -> Any:
    """An `MlflowClient` for both runs and registered models; the first one in a process costs 3 s of import.

    Raises:
        ConfigError: if `uri` is not one that MLflow takes.
        ServiceError: if a sqlite file cannot be opened.
    """
    check(uri)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # In a thread of its own: a signal in the midst of an import leaves half a package, which hangs later
    with ThreadPoolExecutor(1, "mlflow") as thread:
        return thread.submit(_connect, uri).result()


def _connect(uri: str) -> Any:
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    path = database(uri)
    with explained(uri), _locked(path) if path else nullcontext():
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        if path:
            client.search_experiments(max_results=1)  # makes the tables
    return client


def check(uri: str) -> None:
    """Raises ConfigError if `uri` cannot be a tracking URI; asks nobody."""
    where = "tracking_uri"
    addresses.check(
        uri, where, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    )
    scheme = urlsplit(uri).scheme
    host = uri.partition("://")[0] if "://" not in uri else ""
    if host and not uri.startswith(("/", ".", "~", "file:", "sqlite:")) and ":" in host:
        fix = f"did you mean http://{uri}?"
        raise ConfigError(
            "the tracking URI has no scheme", where=where, found=uri, expected=EXPECTED, fix=fix
        )
    if scheme in ("", "file"):
        fix = f"did you mean sqlite:///{uri.removeprefix('file://').rstrip('/')}/mlflow.db?"
        what = "MLflow 3 keeps no runs in a plain folder"
        raise ConfigError(what, where=where, found=uri, expected=EXPECTED, fix=fix)
    if scheme not in ("http", "https", "sqlite"):
        what = "the tracking URI's scheme is not supported"
        raise ConfigError(what, where=where, found=uri, expected=EXPECTED)
    if scheme in ("http", "https") and not urlsplit(uri).hostname:
        raise ConfigError("the tracking URI names no host", where=where, found=uri, expected=EXPECTED)
    if scheme == "sqlite" and not unquote(urlsplit(uri).path).lstrip("/"):
        raise ConfigError("the tracking URI names no file", where=where, found=uri, expected=EXPECTED)


def database(uri: str) -> Path | None:
    """The file of a sqlite URI (three slashes: relative, four: absolute); None for a server."""
    scheme, _, path = uri.partition(":///")
    return Path(unquote(path)) if scheme.partition("+")[0] == "sqlite" else None


# Else the UI takes it for an experiment with language models, and shows traces and prompts first.
KIND = {"mlflow.experimentKind": "custom_model_development"}


def experiment(client: Any, name: str) -> str:
    """The id of the experiment called `name`, made if need be.

    With sqlite its artifacts go to `mlartifacts` beside the file, where `mlflow ui` finds them.
    """
    uri = client.tracking_uri
    with explained(uri):
        found = client.get_experiment_by_name(name)
        if found is None:
            path = database(uri)
            folder = str(path.resolve().parent / "mlartifacts") if path else None
            try:
                return str(client.create_experiment(name, artifact_location=folder, tags=KIND))
            except Exception:
                found = client.get_experiment_by_name(name)  # somebody else was first
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            raise deleted(uri, name, str(found.experiment_id))
        return str(found.experiment_id)


def deleted(uri: str, name: str, number: str) -> ConfigError:
    """The error of an experiment that is deleted."""
    restore = f".venv/bin/mlflow experiments restore --experiment-id {number}"
    fix = f"MLFLOW_TRACKING_URI={shlex.quote(uri)} {restore}"
    return ConfigError("the MLflow experiment is deleted", where=uri, found=name, fix=fix)


@contextmanager
def ambient(uri: str) -> Iterator[None]:
    """Sets MLFLOW_TRACKING_URI for a call that reads it: a sqlite registry that resolves `models:/`."""
    before = os.environ.get("MLFLOW_TRACKING_URI")
    os.environ["MLFLOW_TRACKING_URI"] = uri
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_TRACKING_URI"]
        else:
            os.environ["MLFLOW_TRACKING_URI"] = before


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Translates what mlflow raises into typed errors; ours pass through."""
    try:
        yield
    except TrunklineError:
        raise
    except Exception as error:
        raise _typed(error, where) from error


def _typed(error: Exception, where: str) -> TrunklineError:
    from mlflow.exceptions import MlflowException

    text = f"{type(error).__name__}: {error}".splitlines()[0]
    if type(error).__module__.startswith(("requests.", "urllib3.")):
        return ServiceError("the MLflow server does not answer", where=where, found=text)
    if isinstance(error, OSError):
        return OutputError("a file of MLflow cannot be read or written", where=where, found=text)
    if not isinstance(error, MlflowException):
        return InternalError(f"mlflow raised {text}", where=where, fix="this is a bug: please report it")
    code = error.error_code
    if code == "RESOURCE_DOES_NOT_EXIST":
        return MissingError("MLflow does not have it", where=where, found=text)
    if code in DENIED or "status code 401" in text or "status code 403" in text:
        return AccessError("MLflow refused the request", where=where, found=text, fix=access_fix(text))
    if code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS"):
        return ConfigError("MLflow does not accept a value", where=where, found=text)
    return ServiceError("MLflow failed", where=where, found=text)


def access_fix(text: str) -> str:
    """What to do about a refusal with this text."""
    if "Invalid Host header" in text:
        return "add this host name to the server's MLFLOW_SERVER_ALLOWED_HOSTS"
    return "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """File lock: one process at a time creates the tables of a new sqlite file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
