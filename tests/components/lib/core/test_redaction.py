import pytest

from components.lib.core import addresses
from components.lib.core.errors import AccessError, ConfigError, DataError, ServiceError, revived
from components.lib.core.redaction import plain
from components.lib.registry.tracking import server
from components.lib.storage.objects import connect

FORGED = "a.txt\r\npromotion: passed\x1b[2K\x1b]0;owned\x07\x08\u202etxt.exe\u2028\ud800"


def test_nothing_in_an_error_drives_a_terminal_or_forges_a_line():
    error = DataError(f"bad {FORGED}", where=FORGED, found=FORGED, expected=FORGED, fix=FORGED)
    for line in str(error).splitlines()[1:]:
        assert line.startswith("  ")
    shown = str(error)
    shown.encode("utf-8")
    assert not any(ord(character) < 32 and character != "\n" for character in shown)
    assert "\u202e" not in shown and "\u2028" not in shown and "\\x1b[2K" in shown


def test_what_is_plain_stays_as_it_is():
    for text in (
        "grüße, 世界\ttab",
        "https://host/a?page=2&lang=de",
        "found:\n    x",
        "mail@host.example",
        "5 > 3",
    ):
        assert plain(text) == text
    once = plain(FORGED)
    assert plain(once) == once
    error = ServiceError("x", found=FORGED)
    assert revived(error.to_dict()).to_dict() == error.to_dict()


@pytest.mark.parametrize(
    "address",
    [
        "http://user:hunter2@mlflow:5000",
        "https://hunter2@host/x",
        "s3://AKIA:hunter2@bucket/x",
        "https://host/x?X-Amz-Signature=hunter2&y=1",
        "https://host/x?a=1&sig=hunter2",
        "https://host/x?API_KEY=hunter2",
        "https://host/x?access_token=hunter2#sha256=0",
    ],
)
def test_secrets_of_addresses_are_hidden_and_refused(address):
    assert "hunter2" not in plain(f"cannot read {address}: 403") and "***" in plain(address)
    with pytest.raises(ConfigError) as caught:
        addresses.check(address, "sources")
    assert "hunter2" not in str(caught.value) and "hunter2" not in str(caught.value.to_dict())


def test_stores_and_servers_with_secrets_in_their_address_are_refused():
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_PASSWORD") as caught:
        server.check("http://user:hunter2@mlflow:5000")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="AWS_SECRET_ACCESS_KEY"):
        connect("s3://key:hunter2@bucket")


def test_only_variables_made_for_it_can_be_named(monkeypatch):
    monkeypatch.setenv("TRUNKLINE_SECRET_DATA", "one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "two")
    assert addresses.filled("k=${TRUNKLINE_SECRET_DATA}&l=${AWS_SECRET_ACCESS_KEY}") == (
        "k=one&l=${AWS_SECRET_ACCESS_KEY}"
    )
    with pytest.raises(AccessError, match="TRUNKLINE_SECRET_OTHER"):
        addresses.filled("${TRUNKLINE_SECRET_OTHER}")
