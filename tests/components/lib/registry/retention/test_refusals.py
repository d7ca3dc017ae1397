import json

import pytest

from components.lib.core.errors import ConfigError, DataError, IntegrityError
from components.lib.registry.registered_models import Registry
from components.lib.registry.retention import Policy
from components.lib.storage.store import Store
from tests.components.lib.registry.retention.stores import (
    age,
    chain,
    later,
    listing,
    place,
    program,
    registered,
)


def uri(text):
    return json.loads(text)["uri"].encode()


DAMAGES = {
    "no JSON": lambda text, other: b"{" + text,
    "another manifest": lambda text, other: other,
    "files of another": lambda text, other: text.replace(uri(text), uri(other)),
    "files outside": lambda text, other: text.replace(uri(text), b"../../etc"),
    "empty": lambda text, other: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_manifest_stops_it_before_anything_is_touched(disk, registry, kept, damage):
    lost = chain(disk, "lost")
    key = f"{place(lost[0])}/manifest.json"
    other = disk.objects.read(f"{place(kept[0])}/manifest.json")
    disk.objects.write(key, DAMAGES[damage](disk.objects.read(key), other))
    before = listing(disk)
    with pytest.raises((DataError, IntegrityError)) as caught:
        later(disk, registry, 100)
    assert key in caught.value.where and listing(disk) == before


def test_a_damaged_ledger_stops_it(disk, registry, kept):
    disk.objects.write("runs/r/ingestion.json", b'{"outputs": [')
    with pytest.raises(DataError, match="record cannot be read"):
        later(disk, registry, 100)


def test_a_registry_of_another_store_stops_it(disk, registry):
    registered(registry, "elsewhere", chain(Store(disk.uri + "-other"), "elsewhere")[-1])
    lost = chain(disk, "lost")
    assert later(disk, registry, 1).names["needed"], "nothing would go: no reason to stop"
    before = listing(disk)
    with pytest.raises(ConfigError, match="names nothing of this store"):
        later(disk, registry, 100)
    assert listing(disk) == before
    report = later(disk, registry, 100, Policy(delete=True, unregistered=True))
    assert sorted(report.names["condemned"]) == sorted(map(place, lost))
    with pytest.raises(ConfigError):
        later(disk, registry, 200)


def test_what_a_registered_version_lacks_is_told(disk, registry, kept):
    disk.objects.delete(f"{place(kept[0])}/manifest.json")
    report = later(disk, registry, 1)
    assert report.missing == (place(kept[0]),) and place(kept[0]) in str(report)


def test_the_program_tells_and_refuses(disk, registry, kept):
    chain(disk, "lost")
    age(disk, 40)
    before = listing(disk)
    with program(disk, registry) as done:
        said = done.communicate(timeout=60)[0].replace(",", "")
        assert "3                " in said and done.returncode == 0
    with program(disk, registry, "--keep-days", "0.1") as refused:
        assert "at least 1 day" in refused.communicate(timeout=60)[0] and refused.returncode == 2
    with program(disk, Registry("http://127.0.0.1:9"), "--delete") as silent:
        assert "nothing more was deleted" in silent.communicate(timeout=90)[0] and silent.returncode == 69
    assert listing(disk) == before
