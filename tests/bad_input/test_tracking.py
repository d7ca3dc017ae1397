"""The matrix of MLflow: addresses that are none, servers that are ill, models that cannot be registered."""

import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from components.lib.core.settings import from_dict
from components.lib.registry.mlflow_model import Use, write
from components.lib.registry.registered_models import Registry
from components.lib.registry.tracking import connect, experiment, probe
from components.registration.config import Config
from tests.bad_input.refusal import (
    ACCESS,
    ALMIGHTY,
    MISSING,
    SERVICE,
    SETTING,
    SETTINGS,
    Row,
    as_anybody,
    judge,
    rows,
)
from tests.fakes import http_server
from tests.fakes.mlflow_server import free_port

LIKE, PLACE = "did you mean ", "tracking_uri"
FORMS = "http://host:port, https://host or sqlite:///path/mlflow.db"
ADDRESSES = [
    Row("mlflow.svc:5000", LIKE + "http://mlflow.svc:5000?", PLACE, SETTING),
    Row("localhost:5000/mlflow", LIKE + "http://localhost:5000/mlflow?", PLACE, SETTING),
    Row("/data/mlruns", LIKE + "sqlite:////data/mlruns/mlflow.db?", PLACE, SETTING),
    Row("file:///data/mlruns", LIKE + "sqlite:////data/mlruns/mlflow.db?", PLACE, SETTING),
    Row("mlruns", LIKE + "sqlite:///mlruns/mlflow.db?", PLACE, SETTING),
    Row("ftp://host/x", FORMS, PLACE, SETTING),
    Row("http:///x", "names no host", PLACE, SETTING),
    Row("http://host:port", "not a URL", PLACE, SETTING),
    Row("http://[::1", "an address is malformed", PLACE, SETTING),
    Row("sqlite://", "names no file", PLACE, SETTING),
    Row("http://user:s3cr3t@host", "MLFLOW_TRACKING_TOKEN", PLACE, SETTING),
    Row("sqlite:///{tmp}/text", "not a sqlite database", "text", SETTING),
    Row("sqlite:///{tmp}/text/mlflow.db", "names no file", "mlflow.db", SETTING),
    Row("sqlite:///{tmp}", "names no file", "sqlite", SETTING),
    Row("sqlite:///{tmp}/100%25/mlflow.db", "a path with a '%'", "sqlite", SETTING),
    Row("http://127.0.0.1:{port}", "does not answer", "127.0.0.1", SERVICE),
    Row("http://{silent}", "does not answer", "127.0.0.1", SERVICE),
]
NO_MLFLOW = "something answers that is not MLflow"
REBINDING = "Invalid Host header - possible DNS rebinding attack detected"
ANSWERS = [  # status and body
    Row((401, ""), "MLFLOW_TRACKING_TOKEN", "127.0.0.1", ACCESS),
    Row((403, REBINDING), "ALLOWED_HOSTS", "127.0.0.1", ACCESS),
    Row((404, "nothing here"), NO_MLFLOW, "127.0.0.1", SETTING),
    Row((200, "<html>another service</html>"), NO_MLFLOW, "127.0.0.1", SETTING),
    Row((200, "2.22.0"), "too old", "127.0.0.1", SETTING),
    Row((302, ""), NO_MLFLOW, "127.0.0.1", SETTING),
    Row((503, "starting"), "ill", "127.0.0.1", SERVICE),
]


@rows(ADDRESSES)
def test_an_address_that_is_none(refused, tmp_path, row):
    (tmp_path / "text").write_text("not a database, " * 100)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        full = row.given.format(tmp=tmp_path, port=free_port(), silent=address)
        error = refused("preflight", lambda _: probe(full, timeout=0.5))
    judge(error, row)
    assert error["retriable"] == (row.kind is SERVICE) and "s3cr3t" not in str(error)


class Answer(http_server.Handler):
    """The same to whatever is asked."""

    status: int
    text: str

    def do_GET(self) -> None:
        self.send(self.status, self.text.encode())


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    with http_server.serving(Answer, status=status, text=body) as uri:
        yield f"{uri}/prefix"


@rows(ANSWERS)
def test_a_server_that_cannot_be_used(refused, row):
    with answering(*row.given) as uri:
        judge(refused("preflight", lambda _: probe(uri)), row)


@pytest.mark.skipif(ALMIGHTY, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    code = "from components.lib.registry.tracking import probe; probe('sqlite:///{}/closed/mlflow.db')"
    done = as_anybody(code, tmp_path)
    assert done.returncode == 77, done.stderr
    assert "cannot be written" in done.stdout and "closed" in done.stdout and "fix:" in done.stdout


def registered(uri: str, reference: str = "trunkline.reference") -> Path:
    """Makes a champion of `news`; returns its folder."""
    from tests.components.lib.registry.test_registered_models import register

    registry = Registry(uri)
    version = register(registry)
    registry.set_alias(version, "champion")
    if reference != "trunkline.reference":
        registry.client.delete_model_version_tag("news", version.version, "trunkline.reference")
    place = registry.client.get_logged_model(version.model_id).artifact_location
    return Path(place.removeprefix("file://"))


def altered(uri: str, statement: str) -> None:
    with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as base:
        base.execute(statement)
        base.commit()


def gone(uri: str) -> None:
    client = connect(uri)
    client.delete_experiment(experiment(client, "smoke"))


def older(uri: str) -> None:
    altered(uri, "update alembic_version set version_num = 'cbc13b556ace'")


def newer(uri: str) -> None:
    altered(uri, "update alembic_version set version_num = '0123456789ab'")


STATES = {  # what is done to MLflow, and what preflight says of it
    "a deleted experiment": Row(gone, "mlflow experiments restore", "", SETTING),
    "an older schema": Row(older, "mlflow db upgrade", "", SETTING),
    "a newer schema": Row(newer, "of another version of MLflow", "", SETTING),
    "a foreign champion": Row(lambda uri: registered(uri, ""), "by somebody else", "news@champion", SETTING),
    "a champion without files": Row(
        lambda uri: shutil.rmtree(registered(uri)), "not where the registry says", "news@champion", MISSING
    ),
}


@rows(STATES)
def test_a_state_of_mlflow_that_would_fail_a_run_at_its_end(refused, sqlite_uri, row):
    row.given(sqlite_uri)
    judge(refused("preflight", lambda _: probe(sqlite_uri, experiment="smoke", models=["news"])), row)


def test_a_server_is_asked_the_same(mlflow_uri):
    client = connect(mlflow_uri)
    probe(mlflow_uri, models=["no such model"], experiment="no such experiment")
    client.delete_experiment(experiment(client, "asked"))
    client.create_registered_model("asked")
    source = client.create_logged_model(client.create_experiment("asking"), name="asked")
    client.create_model_version("asked", f"models:/{source.model_id}", model_id=source.model_id)
    client.set_registered_model_alias("asked", "challenger", "1")
    for names, words in (({"experiment": "asked"}, "is deleted"), ({"models": ["asked"]}, "somebody else")):
        with pytest.raises(SETTING[1], match=words):
            probe(mlflow_uri, **names)


def test_a_database_that_another_process_holds(refused, sqlite_uri):
    with closing(sqlite3.connect(sqlite_uri.removeprefix("sqlite:///"), isolation_level=None)) as base:
        base.execute("begin exclusive")
        error = refused("preflight", lambda _: probe(sqlite_uri))
    judge(error, Row("", "the MLflow database is locked", "sqlite", SERVICE))


def deleted(uri: str) -> None:
    client = connect(uri)
    client.delete_experiment(experiment(client, "gone"))
    experiment(client, "gone")


REGISTRY = {  # what is asked of the registry at an address
    "no server": Row(lambda uri: Registry(""), "MLFLOW_TRACKING_URI", kind=SETTING),
    "no model": Row(lambda uri: Registry(uri).require("news", "a"), "no registered model", kind=MISSING),
    "a deleted experiment": Row(deleted, "mlflow experiments restore", kind=SETTING),
}


@rows(REGISTRY)
def test_what_the_registry_does_not_have(refused, sqlite_uri, row):
    judge(refused("registration", lambda _: row.given(sqlite_uri)), row)


def test_a_missing_alias_lists_what_there_is(refused, sqlite_uri):
    from tests.components.lib.registry.test_registered_models import register

    registry = Registry(sqlite_uri)
    registry.set_alias(register(registry), "challenger")
    error = refused("registration", lambda _: registry.require("news", "champion"))
    judge(error, Row("champion", "challenger -> version 1", "sqlite", MISSING))
    with pytest.raises(MISSING[1]) as caught:
        registry.require("nws", "champion")
    assert caught.value.found == "news"


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "it's"])
def test_a_name_that_mlflow_refuses(refused, name):
    error = refused("registration", lambda _: from_dict(Config, {"name": name}, "registration"))
    judge(error, Row(name, "name", "registration.name", SETTINGS))


def test_a_folder_that_is_no_model(refused, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    about = {"use": Use.of("trunk", "text"), "model_id": "m", "run_id": "r", "readme": ""}
    error = refused("registration", lambda _: write(tmp_path, {}, tmp_path / "out", **about))
    judge(error, Row(tmp_path, "not a Hugging Face model", str(tmp_path)))
