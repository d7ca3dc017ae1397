import os
import threading
import uuid

import pytest

from components.lib.core.errors import AccessError, ConfigError, IntegrityError, MissingError, OutputError
from components.lib.storage.artifacts import Key
from components.lib.storage.objects import connect
from components.lib.storage.objects.s3 import client
from components.lib.storage.store import Store

KEY = Key("stage", 1, {"a": 1})


def commit(store, key=KEY, text="content", names=("data.txt",)):
    with store.draft(key) as draft:
        for name in names:
            draft.write(name, f"{text} of {name}")
        draft.facts["text"] = text
        return draft.commit()


def object_key(store, manifest, name):
    return f"{manifest.uri.removeprefix(store.uri + '/')}/{name}"


def overwrite(store, manifest, name, data):
    """Damages a committed file behind the store's back."""
    store.objects.write(object_key(store, manifest, name), data)


def test_what_is_committed_can_be_opened(any_store):
    manifest = commit(any_store, names=("data.txt", "model/a.bin", "model/deep/b.bin"))
    assert any_store.find(KEY) == manifest
    assert any_store.resolve(manifest.reference) == manifest
    assert any_store.open(manifest, "data.txt").read_text() == "content of data.txt"
    folder = any_store.open_folder(manifest, "model/")
    assert (folder / "deep" / "b.bin").read_text() == "content of model/deep/b.bin"
    assert (folder / "a.bin").exists()


def test_without_a_commit_nothing_exists(any_store):
    with pytest.raises(ZeroDivisionError), any_store.draft(KEY) as draft:
        draft.write("data.txt", "half")
        raise ZeroDivisionError
    assert any_store.find(KEY) is None
    with pytest.raises(MissingError):
        any_store.resolve(f"stage/{KEY.digest}#{'0' * 64}")


def test_an_input_made_anew_is_noticed(any_store):
    manifest = commit(any_store)
    with pytest.raises(IntegrityError, match="made anew"):
        any_store.resolve(manifest.reference[:-1] + "x")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: bytes([data[0] ^ 1]) + data[1:],
        lambda data: data[:-1],
        lambda data: data + b" ",
        lambda _: b"",
    ],
    ids=["flipped bit", "truncated", "longer", "empty"],
)
def test_damage_is_noticed(any_store, damage):
    manifest = commit(any_store)
    overwrite(any_store, manifest, "data.txt", damage(b"content of data.txt"))
    with pytest.raises(IntegrityError) as caught:
        any_store.open(manifest, "data.txt")
    assert "data.txt" in caught.value.where and caught.value.exit_code == 65


def test_damage_after_a_first_read_is_noticed(tmp_path):
    store = Store(str(tmp_path))
    manifest = commit(store)
    path = store.open(manifest, "data.txt")
    status = path.stat()
    path.write_text("c0ntent of data.txt")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    with pytest.raises(IntegrityError):
        store.open(manifest, "data.txt")


def test_a_missing_file_is_noticed(any_store):
    manifest = commit(any_store)
    any_store.objects.delete(object_key(any_store, manifest, "data.txt"))
    with pytest.raises(MissingError):
        any_store.open(manifest, "data.txt")


def test_a_manifest_of_another_store_is_refused(any_store, tmp_path):
    other = commit(Store(str(tmp_path / "other")))
    with pytest.raises(MissingError, match="does not hold"):
        any_store.open(other, "data.txt")


@pytest.mark.fault("F14", "F25")
def test_several_writers_of_one_key(any_store):
    """Every writer gets the winner's manifest, and the winner's files are whole."""
    ready, results = threading.Barrier(4), []

    def write(number):
        with any_store.draft(KEY) as draft:
            draft.write("data.txt", f"writer {number}")
            draft.facts["writer"] = number
            ready.wait()
            results.append(draft.commit())

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and len({manifest.to_json() for manifest in results}) == 1
    winner = any_store.find(KEY)
    assert any_store.open(winner, "data.txt").read_text() == f"writer {winner.facts['writer']}"
    left = [key for key in any_store.objects.keys(f"stage/{KEY.digest}/") if key.endswith("data.txt")]
    assert left == [object_key(any_store, winner, "data.txt")], "the losers' files are dropped"


def test_a_failed_draft_leaves_no_scratch(any_store, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(ZeroDivisionError), any_store.draft(KEY) as draft:
        (draft.folder / "half").write_text("x")
        raise ZeroDivisionError
    assert not draft.folder.exists()


@pytest.mark.parametrize("uri", ["gs://bucket/x", "ftp://host/x", "", "s3://"])
def test_wrong_store(uri):
    with pytest.raises(ConfigError) as caught:
        connect(uri)
    assert caught.value.where == "store" and (caught.value.expected or caught.value.fix)


def test_missing_bucket_and_object(s3):
    with pytest.raises(MissingError, match="bucket"):
        connect(f"s3://none-{uuid.uuid4().hex}").read("x")
    with pytest.raises(MissingError, match="no such object"):
        connect(s3).read("x")


def test_a_client_never_waits_for_ever(s3):
    config = client().meta.config
    assert (
        config.connect_timeout <= 10
        and config.read_timeout <= 60
        and config.retries["total_max_attempts"] > 1
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(AccessError):
        connect(str(tmp_path)).write("a", b"1")


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(OutputError):
        connect(str(tmp_path / "store")).write("a", b"1")


def test_full_disk(tmp_path):
    """The kernel's own full disk."""
    from components.lib.storage.objects.file import _explained

    with (
        pytest.raises(OutputError, match="full") as caught,
        _explained(tmp_path / "data"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    assert "bytes free" in caught.value.found and "free space" in caught.value.fix
