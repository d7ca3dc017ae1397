"""Tarballs of npm: the client downloads what is pinned, images are joined to the tables beside them."""

import hashlib
import io
import json
import tarfile

import pytest

from components.lib.core.errors import ConfigError, IntegrityError, MissingError, ServiceError
from components.lib.data.formats import Layout
from components.lib.data.sources import check, find, read_records

CLIENT = """#!/bin/sh
case "$*" in
  *absent*) echo "npm error code E404" >&2; exit 1 ;;
  *broken*) echo "npm error network" >&2; exit 1 ;;
esac
cp "$TARBALL" "$5/pictures-1.0.0.tgz"
"""


@pytest.fixture
def tarball(tmp_path, monkeypatch):
    """A package of two pictures with their names, and a client that hands it out; its SHA-256."""
    members = {f"package/img/{n}.png": bytes([n]) * 9 for n in (1, 2)} | {"package/readme.md": b"?"}
    members["package/names.json"] = json.dumps([{"image": "1.png", "name": "one"}]).encode()
    path = tmp_path / "made.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    client = tmp_path / "bin" / "npm"
    client.parent.mkdir()
    client.write_text(CLIENT)
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:/usr/bin:/bin")
    monkeypatch.setenv("TARBALL", str(path))
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def uri(digest: str, member: str, package: str = "@made/pictures") -> str:
    return f"npm:{package}==1.0.0/package/{member}#sha256={digest}"


def test_pictures_with_the_names_that_a_table_of_the_package_gives_them(tarball):
    source = uri(tarball, "img/*.png|package/names.json")
    for _ in range(2):  # the second time from the cache
        rows = [record.fields for record in read_records(source, Layout(reads=("image",)))]
        assert [(row["image"][:1], row.get("name")) for row in rows] == [(b"\1", "one"), (b"\2", None)]
    assert [one.name for one in find(source)] == [
        "npm:@made/pictures-1.0.0.tgz!/package/img/*.png|package/names.json"
    ]


@pytest.mark.parametrize(
    ("package", "digest", "error", "told"),
    [
        ("@made/pictures", "0" * 64, IntegrityError, "not the one that was pinned"),
        ("absent", "", MissingError, "finds no such tarball"),
        ("broken", "", ServiceError, "could not download a tarball"),
    ],
)
def test_what_is_not_there_or_not_what_was_pinned(package, digest, error, told, tarball):
    with pytest.raises(error, match=told):
        list(read_records(uri(digest or tarball, "img/*.png", package)))


def test_without_the_client_and_malformed(tarball, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="an npm source needs npm"):
        list(read_records(uri(tarball, "img/*.png")))
    with pytest.raises(ConfigError, match="malformed"):
        check("npm:pictures@1.0.0/img")
