from components.lib import artifacts
from components.lib.registry import Registry
from components.registration.config import Config
from components.registration.run import run
from tests import models


def given(context, tmp_path, **arguments):
    manifest = models.trunk(context.store, **arguments)
    path = tmp_path / "trunk.json"
    manifest.write(path)
    return manifest, path


def test_a_trunk_is_registered_loadable_and_described(tracked, tmp_path):
    trunk, path = given(tracked, tmp_path)
    run(Config("news"), tracked, trunk=path, registered=tmp_path / "out.json")
    made = artifacts.read(tmp_path / "out.json")
    assert made.key.inputs == {"trunk": trunk.reference}
    assert (made.facts["name"], made.facts["version"]) == ("news", "1")
    registry = Registry(tracked.tracking_uri)
    assert registry.find("news", "challenger").version == "1"
