"""Health check of MLflow before a run, without importing it: its address, its database, the models it has.

What a sqlite file holds is read from its tables, what a server holds from its REST interface.
"""

from __future__ import annotations

import base64
import http.client
import importlib.util
import json
import os
import re
import shlex
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from components.lib.core.errors import AccessError, ConfigError, MissingError, ServiceError
from components.lib.registry.tracking.server import EXPECTED, access_fix, check, database, deleted

REFERENCE, MODEL_ID = "trunkline.reference", "trunkline.model_id"  # tags of a version that is ours
ALIASES = ("champion", "challenger")
ARTIFACTS = "mlartifacts"
MOST = 1 << 20  # bytes of an answer
PLACES = (  # table and column of every address of files that MLflow keeps
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def probe(
    uri: str, timeout: float = 3.0, experiment: str = "", models: Sequence[str] = (), trunk: str = ""
) -> dict[str, str]:
    """Whether MLflow can be used for a run, in at most `timeout` seconds and without importing mlflow.

    A sqlite file that was moved with its files is corrected: see `relocate`.

    Args:
        uri, timeout: see above.
        experiment: where the run is to be logged.
        models: registered models of branches, whose champions will be fetched.
        trunk: the registered model of the trunk; the tags of its newest version are returned.

    Raises:
        ConfigError: if it is no MLflow, or one that this run cannot use as it is: see `_examine`.
        AccessError: if the server refuses us, or the folder of a sqlite file cannot be written.
        MissingError: if the files of a champion are gone.
        ServiceError: if nobody answers in time, or another process holds the database.
    """
    check(uri)
    raised, tags = list[Exception](), dict[str, str]()
    path = database(uri)

    def ask() -> None:
        try:
            if path:
                _probe_file(path, uri)
            else:
                _probe_server(uri, timeout)
            if path is None or path.exists():
                mlflow = _File(path, uri) if path else _Server(uri, timeout)
                _examine(mlflow, experiment, models, trunk)
                tags.update(mlflow.version(trunk, "challenger")[1])
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=ask, daemon=True)  # a name look-up knows no timeout of its own
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise ServiceError("the MLflow server does not answer", where=uri, found=f"nothing in {timeout:g} s")
    if raised:
        raise raised[0]
    return tags


def _examine(mlflow: _File | _Server, experiment: str, models: Sequence[str], trunk: str) -> None:
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


class _File:
    """A sqlite file with MLflow's tables, or an empty one."""

    def __init__(self, path: Path, uri: str) -> None:
        self.path, self.uri = path, uri
        with _open(path, uri) as base:
            self.tables = {
                name for (name,) in base.execute("select name from sqlite_master where type = 'table'")
            }
            if "alembic_version" in self.tables:
                (version,) = base.execute("select version_num from alembic_version").fetchone() or ("",)
                _check_schema(version, uri)
                relocate(base, path)

    def _one(self, table: str, query: str, *values: str) -> Any:
        if table not in self.tables:
            return None
        with _open(self.path, self.uri) as base:
            return base.execute(query, values).fetchone()

    def deleted(self, experiment: str) -> str:
        """The id of a deleted experiment, else empty."""
        query = "select experiment_id, lifecycle_stage from experiments where name = ?"
        found = self._one("experiments", query, experiment)
        return str(found[0]) if found and found[1] == "deleted" else ""

    def version(self, name: str, alias: str) -> tuple[str, dict[str, str]]:
        """The version that an alias points to, and its tags."""
        query = "select version from registered_model_aliases where name = ? and alias = ?"
        found = self._one("registered_model_aliases", query, name, alias)
        if not found:
            return "", {}
        with _open(self.path, self.uri) as base:
            query = "select key, value from model_version_tags where name = ? and version = ?"
            return str(found[0]), dict(base.execute(query, (name, found[0])))

    def lost(self, model_id: str) -> str:
        """Where the files of a logged model should be, if they are not; else empty."""
        query = "select artifact_location from logged_models where model_id = ?"
        found = self._one("logged_models", query, model_id)
        place = str(found[0]).removeprefix("file://") if found else ""
        return place if place.startswith("/") and not Path(place).exists() else ""


class _Server:
    """MLflow's REST interface."""

    def __init__(self, uri: str, timeout: float) -> None:
        self.uri, self.timeout = uri, timeout

    def _one(self, call: str, **values: str) -> dict[str, Any]:
        """The answer; empty where there is no such thing, or a proxy does not let us ask."""
        url = f"{self.uri.rstrip('/')}/api/2.0/mlflow/{call}?{urlencode(values)}"
        try:
            status, body = _get(url, self.timeout)
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


def relocate(base: sqlite3.Connection, path: Path) -> None:
    """Corrects the addresses of MLflow's files after its folder was moved or copied, and says so.

    MLflow keeps absolute ones. Ours are all below `mlartifacts` beside the database: what is said to be in
    another folder of that name, and is here, was moved.
    """
    here = path.resolve().parent / ARTIFACTS
    rows = base.execute("select artifact_location from logged_models union select artifact_uri from runs")
    found = [re.fullmatch(rf"(/.*/{ARTIFACTS})/(.+)", str(place)) for (place,) in rows]
    old = {one[1] for one in found if one and one[1] != str(here) and (here / one[2]).exists()}
    for place in sorted(old):
        for table, column in PLACES:
            base.execute(
                f"update {table} set {column} = :here || substr({column}, length(:old) + 1)"
                f" where {column} = :old or substr({column}, 1, length(:old) + 1) = :old || '/'",
                {"here": str(here), "old": place},
            )
        base.commit()
        print(f"preflight: MLflow's files are not in {place} any more, but in {here}: corrected", flush=True)


@contextmanager
def _open(path: Path, uri: str) -> Iterator[sqlite3.Connection]:
    """Raises typed errors for a file that is held by another process, or is no database."""
    try:
        with closing(sqlite3.connect(path, timeout=1.0)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and "busy" not in str(error):
            raise ConfigError("the MLflow file cannot be used", where=uri, found=str(error)) from error
        fix = "wait for the process that holds it, or end it: another run, `make ui`, a browser of databases"
        raise ServiceError("the MLflow database is locked", where=uri, found=str(error), fix=fix) from error
    except sqlite3.DatabaseError as error:
        raise ConfigError("the file is not a sqlite database", where=uri, found=str(error)) from error


def _check_schema(version: str, uri: str) -> None:
    """Raises ConfigError if MLflow's tables are of another version than the MLflow that is installed."""
    folder = _package() / "store" / "db_migrations" / "versions"
    texts = [file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py"))]
    named = re.compile(r"^(down_)?revision(?:: .*?)? = [\"'](\w+)[\"']", re.MULTILINE)
    pairs = [pair for text in texts for pair in named.findall(text)]
    known, followed = {name for down, name in pairs if not down}, {name for down, name in pairs if down}
    newest = known - followed
    if not newest or version in newest:
        return
    if version in known:
        what = "the MLflow database is of an older version"
        fix = f"copy the file, then: .venv/bin/mlflow db upgrade {shlex.quote(uri)}"
    else:
        what, fix = "the MLflow database is of another version of MLflow", "use that version, or another file"
    raise ConfigError(what, where=uri, found=version, expected=", ".join(sorted(newest)), fix=fix)


def _package() -> Path:
    spec = importlib.util.find_spec("mlflow")
    return Path(spec.origin).parent if spec and spec.origin else Path()


def _probe_file(path: Path, uri: str) -> None:
    folder = path.parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or path.is_dir():
        expected = "a file in a folder"
        raise ConfigError("the tracking URI names no file", where=uri, found=str(path), expected=expected)
    if not os.access(path if path.exists() else folder, os.W_OK):
        fix = "choose a folder that this user may write to"
        raise AccessError("the MLflow file cannot be written", where=uri, found=str(folder), fix=fix)
    for place in (path.resolve(), _package()):
        if "%" in str(place):
            what = "MLflow can neither be nor keep files below a path with a '%'"
            fix = "move the folder, or rename it: blanks, quotes and all else are fine"
            raise ConfigError(what, where=uri, found=str(place), fix=fix)
    if not path.exists():
        return
    with _open(path, uri) as base:
        base.execute("begin immediate")  # whoever only reads learns too late that another process writes


def _probe_server(uri: str, timeout: float) -> None:
    try:
        status, body = _get(f"{uri.rstrip('/')}/version", timeout)
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


def _get(url: str, timeout: float) -> tuple[int, str]:
    """Status and the beginning of the body; follows no redirect."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    with closing(kind(parts.hostname or "", parts.port, timeout=timeout)) as connection:
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        connection.request("GET", path, headers={"User-Agent": "trunkline", **_authorization()})
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
