import pytest

from components.lib.registry.registered_models import Registry
from components.lib.storage.store import Store
from tests.components.lib.registry.retention.stores import chain, registered


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path):
    uri = str(tmp_path / "store") if request.param == "file" else request.getfixturevalue("s3") + "/team"
    return Store(uri, cache=tmp_path / "cache")


@pytest.fixture
def disk(tmp_path):
    return Store(str(tmp_path / "store"), cache=tmp_path / "cache")


@pytest.fixture
def registry(sqlite_uri):
    return Registry(sqlite_uri)


@pytest.fixture
def kept(request, registry):
    """Corpus, tokens and a trunk that is registered."""
    store = request.getfixturevalue("store" if "store" in request.fixturenames else "disk")
    manifests = chain(store, "kept")
    registered(registry, "kept", manifests[-1])
    return manifests
