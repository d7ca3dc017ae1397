import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from components.lib.core.errors import IntegrityError, ServiceError
from components.lib.registry import tracking
from components.lib.registry.mlflow_model import Use, write
from components.lib.registry.registered_models import ALIAS, Registry
from components.lib.registry.tracking.server import database
from components.lib.storage.artifacts import sha256_of
from tests import models
from tests.faults.proxy import before
from tests.killing import Killed, dying, state

REFERENCE = f"pretraining/{'a' * 32}#{'b' * 64}"


def fill(target: Path, model_id: str) -> str:
    """Writes a tiny trunk as the registry asks for it."""
    folder = models.saved("trunk", (), 0)
    digests = {path.name: sha256_of(path) for path in folder.iterdir()}
    use = Use.of("trunk", "text")
    return write(folder, digests, target, use=use, model_id=model_id, run_id="", readme="# card")


def register(registry, name="news", reference=REFERENCE):
    experiment_id = tracking.experiment(registry.client, "smoke")
    runs = registry.client.search_runs([experiment_id], "tags.`trunkline.key` = 'k'")
    run = runs[0] if runs else registry.client.create_run(experiment_id, tags={"trunkline.key": "k"})
    return registry.register(
        name,
        reference,
        experiment_id=experiment_id,
        run_id=run.info.run_id,
        write=fill,
        tags={"trunkline.git": "0"},
        card="# news",
    )


def test_a_version_is_found_by_its_content(sqlite_uri):
    registry = Registry(sqlite_uri)
    assert registry.version("news", REFERENCE) is None
    made = register(registry)
    assert (made.name, made.version, made.uri) == ("news", "1", "models:/news/1")
    assert register(registry) == made == registry.version("news", REFERENCE)
    other = REFERENCE.replace("b", "c")
    assert register(registry, reference=other).version == "2"
    assert registry.version("news", other).version == "2"


@pytest.mark.parametrize("copied", [False, True])
def test_a_folder_that_moved_is_found_again(tmp_path, sqlite_uri, copied):
    """What MLflow wrote down of the old place is corrected; the old folder is not made anew."""
    made = register(Registry(sqlite_uri))
    old, new = database(sqlite_uri).parent, tmp_path / "it's an_other? place #1"
    (shutil.copytree if copied else shutil.move)(old, new)
    before = sorted(old.rglob("*"))
    uri = f"sqlite:///{quote(str(new))}/mlflow.db"
    tracking.probe(uri, experiment="smoke", models=["news"])
    registry = Registry(uri)
    assert registry.version("news", REFERENCE) == made
    registry.fetch(made, tmp_path / "fetched")
    register(registry, reference=REFERENCE.replace("b", "c"))
    assert sorted(old.rglob("*")) == before
    with closing(sqlite3.connect(new / "mlflow.db")) as base:
        assert not [line for line in base.iterdump() if str(old) in line]


def test_a_version_without_its_files_is_no_version(sqlite_uri):
    """Whatever its tags say: it is completed."""
    registry = Registry(sqlite_uri)
    made = register(registry)
    place = Path(registry.client.get_logged_model(made.model_id).artifact_location.removeprefix("file://"))
    shutil.rmtree(place)
    assert registry.version("news", REFERENCE) is None
    assert register(registry).version == made.version
    assert registry.version("news", REFERENCE) == made and (place / "files.json").is_file()


def test_what_is_fetched_is_what_was_registered(mlflow_uri, tmp_path):
    registry = Registry(mlflow_uri)
    made = register(registry, "fetched")
    folder = registry.fetch(made, tmp_path)
    source = models.saved("trunk", (), 0)
    assert {path.name for path in folder.iterdir()} == {path.name for path in source.iterdir()}
    assert all((folder / path.name).read_bytes() == path.read_bytes() for path in source.iterdir())


def test_a_changed_file_is_refused(sqlite_uri, tmp_path):
    registry = Registry(sqlite_uri)
    made = register(registry)
    place = Path(registry.client.get_logged_model(made.model_id).artifact_location)
    weights = next(place.rglob("model.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(IntegrityError, match="not what was registered"):
        registry.fetch(made, tmp_path)


def test_whoever_is_killed_is_completed(sqlite_uri, empty_database):
    registry = Registry(sqlite_uri)
    with dying(None) as calls:
        registry.set_alias(register(registry), "champion")
    expected = state(registry.client)
    assert len(expected["news"]["versions"]) == 1 and calls.made >= 10
    for limit in range(calls.made):
        shutil.copyfile(empty_database, database(sqlite_uri))
        with pytest.raises(Killed), dying(limit):
            registry.set_alias(register(registry), "champion")
        half = registry.version("news", REFERENCE)
        assert half is None or half.tags["trunkline.git"] == "0"  # never seen before it is complete
        registry.set_alias(register(registry), "champion")
        assert state(registry.client) == expected, f"killed before change {limit}"


def test_two_writers_of_one_content_agree(sqlite_uri, monkeypatch):
    ours, theirs = Registry(sqlite_uri), Registry(sqlite_uri)
    real = ours.client.create_model_version

    def late(*arguments, **named):
        register(theirs)
        return real(*arguments, **named)

    monkeypatch.setattr(ours.client, "create_model_version", late)
    assert register(ours).version == "1"
    assert len(ours.client.search_model_versions("name = 'news'")) == 1


def test_an_alias_moves_with_its_mirror(sqlite_uri):
    registry = Registry(sqlite_uri)
    assert registry.find("news", "champion") is None  # no such model
    one, two = register(registry), register(registry, reference=REFERENCE.replace("b", "c"))
    assert registry.find("news", "champion") is None  # no such alias
    for version in (one, two, two):
        registry.set_alias(version, "champion")
        assert registry.find("news", "champion").version == version.version
        found = registry.client.search_model_versions(f"tags.`{ALIAS}champion` = 'true'")
        assert [entry.version for entry in found] == [int(version.version)]


def test_an_alias_that_does_not_stick_is_an_error(sqlite_uri, monkeypatch):
    registry = Registry(sqlite_uri)
    one, two = register(registry), register(registry, reference=REFERENCE.replace("b", "c"))
    real = registry.client.set_registered_model_alias

    def raced(name, alias, version):
        real(name, alias, version)
        real(name, alias, one.version)  # another run was later

    monkeypatch.setattr(registry.client, "set_registered_model_alias", raced)
    with pytest.raises(ServiceError, match="does not point where it was set"):
        registry.set_alias(two, "champion")


@pytest.mark.fault("F18")
@pytest.mark.parametrize(
    "path", ["model-versions/create", "registered-models/create", "registered-models/alias", "logged-models"]
)
def test_a_lost_answer_registers_nothing_twice(mlflow_uri, tmp_path, path):
    """The server has done it, the client does not know, and asks again."""
    name = f"lost-{path.replace('/', '-')}"
    with before(mlflow_uri) as proxy:
        fault = proxy.inject("lost", method="P", path=path, times=1)
        registry = Registry(proxy.url)
        made = register(registry, name)
        registry.set_alias(made, "champion")
    assert fault.struck == 1
    registry = Registry(mlflow_uri)
    versions = registry.client.search_model_versions(f"name = '{name}'")
    assert [version.version for version in versions] == [made.version]
    assert registry.require(name, "champion").version == made.version
    registry.fetch(made, tmp_path)
