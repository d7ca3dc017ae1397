"""F08-F16 at the store: a real S3 server behind a proxy that fails; nothing wrong is ever taken for right."""

import os
import time

import pytest

from components.lib.core.errors import AccessError, IntegrityError, ServiceError
from components.lib.storage import store as stores
from components.lib.storage.artifacts import Key
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


TWICE = [{"method": "GET", "path": path, "times": 2} for path in ("data.bin", "manifest.json")]
CONFLICT = {"status": 409, "code": "ConditionalRequestConflict", "method": "PUT", "path": "manifest.json"}


def row(number: str, name: str, *faults: dict):
    return pytest.param(faults, marks=pytest.mark.fault(number), id=name)


PASSING = [
    row("F08", "500", {"action": "status", "status": 500, "code": "InternalError", "every": 3}),
    row("F08", "503", {"action": "status", "status": 503, "code": "SlowDown", "every": 3}),
    row("F08", "429", {"action": "status", "status": 429, "code": "TooManyRequests", "every": 3}),
    row("F08", "reset", {"action": "reset", "every": 3}),
    row("F11", "slow", {"action": "slow", "method": "GET"}),
    row("F12", "truncate", *({"action": "truncate", **one} for one in TWICE)),
    row("F12", "corrupt", *({"action": "corrupt", **one} for one in TWICE)),
    # the answer to a conditional write is lost, and to another one and a delete
    row("F13", "lost commit", {"action": "lost", "method": "PUT", "path": "manifest.json", "times": 1}),
    row("F13", "lost", *({"action": "lost", "method": method, "times": 1} for method in ("PUT", "DELETE"))),
    row("F14", "conflict", {"action": "status", **CONFLICT, "times": 2}),
]


@pytest.mark.parametrize("faults", PASSING)
def test_what_passes_costs_time_alone(proxy, store, faults):
    struck = [proxy.inject(**fault) for fault in faults]
    manifest = commit(store)
    store.objects.delete("no/such/key")
    whole(store, manifest)
    assert all(
        one.struck == fault.get("times", one.struck) > 0 for one, fault in zip(struck, faults, strict=True)
    )


@pytest.mark.fault("F10")
def test_a_store_that_is_down_for_good_is_told(proxy, store, monkeypatch):
    monkeypatch.setenv("TRUNKLINE_PATIENCE", "4")  # boto3's own six tries take one to two of them
    fault = proxy.inject("reset")
    start = time.monotonic()
    with pytest.raises(ServiceError, match="S3 does not answer") as caught:
        store.find(KEY)
    assert caught.value.exit_code == 69 and caught.value.retriable and proxy.url in caught.value.found
    assert time.monotonic() - start < 60 and fault.struck > 6, "after boto3's own tries it is asked again"


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
def test_a_lost_answer_to_the_end_of_an_upload_in_parts(proxy, store, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(os.urandom(9 << 20))  # more than one part
    fault = proxy.inject("lost", method="POST", path="uploadId", times=1)
    store.objects.upload(big, "big")
    assert fault.struck == 1
    store.objects.download("big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == big.read_bytes()


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
