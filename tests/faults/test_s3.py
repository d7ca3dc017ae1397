"""F08-F16 at the store: a real S3 server behind a proxy that fails; nothing wrong is ever taken for right."""

import os
import time

import pytest

from components.lib.core.errors import AccessError, IntegrityError, ServiceError
from components.lib.storage import store as stores
from components.lib.storage.artifacts import Key
from components.lib.storage.objects import s3 as objects
from components.lib.storage.store import Store
from tests.faults import proxy as proxies

KEY = Key("stage", 1, {"a": 1})
DATA = os.urandom(300_000)


@pytest.fixture
def proxy(s3_server, s3, monkeypatch):
    with proxies.before(s3_server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
        yield proxy


@pytest.fixture
def store(proxy, s3, tmp_path):
    return Store(f"{s3}/team", cache=tmp_path / "cache")


def commit(store, data=DATA):
    with store.draft(KEY) as draft:
        draft.write("data.bin", data)
        draft.facts["size"] = len(data)
        return draft.commit()


def whole(store, manifest):
    assert store.find(KEY) == manifest
    assert store.open(manifest, "data.bin").read_bytes() == DATA
    keys = list(store.objects.keys("stage/"))
    assert len([key for key in keys if key.endswith("manifest.json")]) == 1
    assert len(keys) == 2  # no debris


@pytest.mark.fault("F08")
@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "status": 500, "code": "InternalError"},
        {"action": "status", "status": 503, "code": "SlowDown"},
        {"action": "status", "status": 429, "code": "TooManyRequests"},
        {"action": "reset"},
    ],
    ids=["500", "503", "429", "reset"],
)
def test_every_third_request_fails(proxy, store, fault):
    fault = proxy.inject(**fault, every=3)
    whole(store, commit(store))
    assert fault.struck >= 2


@pytest.mark.fault("F10")
def test_a_store_that_is_down_for_good_is_told(proxy, store, monkeypatch):
    monkeypatch.setattr(objects, "PATIENCE", 1.0)
    fault = proxy.inject("reset")
    start = time.monotonic()
    with pytest.raises(ServiceError, match="S3 does not answer") as caught:
        store.find(KEY)
    assert caught.value.exit_code == 69 and caught.value.retriable and proxy.url in caught.value.found
    assert time.monotonic() - start < 60 and fault.struck > 6, "after boto3's own tries it is asked again"


@pytest.mark.fault("F11")
def test_a_slow_body_is_waited_for(proxy, store):
    manifest = commit(store)
    fault = proxy.inject("slow", method="GET")
    whole(store, manifest)
    assert fault.struck


@pytest.mark.fault("F12")
@pytest.mark.parametrize("action", ["truncate", "corrupt"])
def test_a_damaged_body_is_read_again(proxy, store, action):
    manifest = commit(store)
    faults = [
        proxy.inject(action, method="GET", path=path, times=2) for path in ("data.bin", "manifest.json")
    ]
    whole(store, manifest)
    assert [fault.struck for fault in faults] == [2, 2]


@pytest.mark.fault("F12")
def test_a_body_that_stays_damaged_is_never_taken(proxy, store):
    manifest = commit(store)
    fault = proxy.inject("corrupt", method="GET", path="data.bin")
    with pytest.raises(IntegrityError, match="not what was committed") as caught:
        store.open(manifest, "data.bin")
    assert "sha256" in caught.value.expected and "data.bin" in caught.value.where
    assert fault.struck == stores.FETCHES
    fault.times = 0
    whole(store, manifest)  # what arrived damaged is not kept
    fault = proxy.inject("corrupt", method="GET", path="manifest.json")
    with pytest.raises(IntegrityError, match="not what was written"):
        store.find(KEY)


@pytest.mark.fault("F13")
def test_lost_answers_of_conditional_writes_are_ours(proxy, store):
    fault = proxy.inject("lost", method="PUT", path="manifest.json", times=1)
    whole(store, commit(store))
    assert fault.struck == 1


@pytest.mark.fault("F13")
def test_lost_answers_of_uploads_and_deletes(proxy, store):
    faults = [proxy.inject("lost", method=method, times=1) for method in ("PUT", "DELETE")]
    manifest = commit(store)
    store.objects.delete("no/such/key")
    whole(store, manifest)
    assert [fault.struck for fault in faults] == [1, 1]


@pytest.mark.fault("F13")
def test_a_lost_answer_to_the_end_of_an_upload_in_parts(proxy, store, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(os.urandom(9 << 20))  # more than one part
    fault = proxy.inject("lost", method="POST", path="uploadId", times=1)
    store.objects.upload(big, "big")
    assert fault.struck == 1
    store.objects.download("big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()


@pytest.mark.fault("F14")
def test_a_conflict_of_writers_is_settled(proxy, store):
    conflict = {"status": 409, "code": "ConditionalRequestConflict", "method": "PUT", "path": "manifest.json"}
    fault = proxy.inject("status", **conflict, times=2)
    whole(store, commit(store))
    assert fault.struck == 2


@pytest.mark.fault("F15")
def test_credentials_that_ran_out_are_looked_for_again(proxy, store, monkeypatch):
    manifest = commit(store)
    before = store.objects._client
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "renewed")
    fault = proxy.inject("status", status=400, code="ExpiredToken", times=1)
    whole(store, manifest)
    assert fault.struck == 1 and store.objects._client is not before
    assert store.objects._client._request_signer._credentials.access_key == "renewed"


@pytest.mark.fault("F15")
def test_credentials_that_are_not_renewed_are_told(proxy, store):
    fault = proxy.inject("status", status=400, code="ExpiredToken")
    with pytest.raises(AccessError, match="run out") as caught:
        store.find(KEY)
    assert caught.value.exit_code == 77 and fault.struck == 2


@pytest.mark.fault("F16")
def test_a_wrong_clock_is_told(proxy, store):
    fault = proxy.inject("status", status=403, code="RequestTimeTooSkewed")
    with pytest.raises(AccessError, match="clock is wrong") as caught:
        store.find(KEY)
    assert fault.struck and caught.value.exit_code == 77 and "clock" in caught.value.fix
