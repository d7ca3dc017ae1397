"""Sqlite file of MLflow, read and corrected without importing it: lock, schema, places of its files."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from components.lib.core.errors import AccessError, ConfigError, ServiceError

ARTIFACTS = "mlartifacts"
PLACES = (  # table and column of every address of files that MLflow keeps
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def probe_file(path: Path, uri: str) -> None:
    """Raises typed errors for a file that cannot be made or written to."""
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
    with opened(path, uri) as base:
        base.execute("begin immediate")  # whoever only reads learns too late that another process writes


class File:
    """A sqlite file with MLflow's tables, or an empty one."""

    def __init__(self, path: Path, uri: str) -> None:
        self.path, self.uri = path, uri
        with opened(path, uri) as base:
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
        with opened(self.path, self.uri) as base:
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
        with opened(self.path, self.uri) as base:
            query = "select key, value from model_version_tags where name = ? and version = ?"
            return str(found[0]), dict(base.execute(query, (name, found[0])))

    def lost(self, model_id: str) -> str:
        """Where the files of a logged model should be, if they are not; else empty."""
        query = "select artifact_location from logged_models where model_id = ?"
        found = self._one("logged_models", query, model_id)
        place = str(found[0]).removeprefix("file://") if found else ""
        return place if place.startswith("/") and not Path(place).exists() else ""


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
def opened(path: Path, uri: str) -> Iterator[sqlite3.Connection]:
    """Raises typed errors for a file that is held by another process, or is not a database."""
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
