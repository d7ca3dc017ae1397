import hashlib
import subprocess
from pathlib import Path

import pytest

from components.lib.core.errors import AccessError, ConfigError, DataError, MissingError, ServiceError
from components.lib.data.sources import find, read_records
from tests.fakes import http_server


def fields(uri: str) -> list:
    return [record.fields for record in read_records(uri)]


FILES = {
    "/a.jsonl": (200, {"ETag": '"1"'}, b'{"text": "over tls"}\n'),
    "/plain.jsonl": (200, {}, b'{"text": "no tag"}\n'),
    "/moved.jsonl": (302, {"Location": "/a.jsonl"}, b""),
    "/downgrade": (302, {"Location": "http://localhost/a.jsonl"}, b""),
    "/metadata": (302, {"Location": "https://169.254.169.254/latest"}, b""),
    "/loop": (302, {"Location": "/loop"}, b""),
    "/secret": (403, {}, b""),
    "/broken": (500, {}, b""),
}
ASKED = []


class Handler(http_server.Handler):
    def do_GET(self):
        ASKED.append(self.path)
        status, headers, body = FILES.get(self.path.partition("?")[0], (404, {}, b""))
        self.send(status, body, **headers)

    do_HEAD = do_GET


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost".split()
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(command, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + Path(f"{path}.crt").read_bytes())
    return path


@pytest.fixture
def web(certificate: Path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    monkeypatch.setenv("TRUNKLINE_ALLOWED_HOSTS", "localhost")
    with http_server.serving(Handler, certificate) as uri:
        yield uri.replace("http://127.0.0.1", "https://localhost")


def test_a_file_of_a_web_server(web):
    for path in ("/a.jsonl", "/moved.jsonl"):
        assert fields(f"{web}{path}") == [{"text": "over tls"}]
    assert fields(f"{web}/plain.jsonl") == [{"text": "no tag"}]
    digest = hashlib.sha256(FILES["/a.jsonl"][2]).hexdigest()
    assert fields(f"{web}/a.jsonl#sha256={digest}") == [{"text": "over tls"}]
    with pytest.raises(DataError, match="listed or pinned"):
        fields(f"{web}/a.jsonl#sha256={'0' * 64}")


def test_queries_of_a_web_address_are_not_shown(web):
    found = [find(f"{web}/a.jsonl?part={key}")[0].name for key in ("one", "two")]
    assert found[0] != found[1] and not any("part" in name or "one" in name for name in found)
    assert all(name.endswith("/a.jsonl") for name in found)


def test_a_secret_is_named_and_read_where_it_is_used(web, monkeypatch):
    address = f"{web}/a.jsonl?token=${{TRUNKLINE_SECRET_DATA}}"
    with pytest.raises(AccessError, match="TRUNKLINE_SECRET_DATA"):
        find(address)
    monkeypatch.setenv("TRUNKLINE_SECRET_DATA", "s3cr3t")
    (entry,) = find(address)
    assert fields(address) == [{"text": "over tls"}]
    assert ASKED[-1] == "/a.jsonl?token=s3cr3t" and "s3cr3t" not in repr(entry)


@pytest.mark.parametrize("secret", ["?X-Amz-Signature=abc123", "?a=1&sig=abc123", "?access_token=abc123"])
def test_a_secret_in_a_web_address_is_refused(web, secret):
    for address in (f"{web}/a.jsonl{secret}", f"{web.replace('//', '//user:abc123@')}/a.jsonl"):
        with pytest.raises(ConfigError) as caught:
            find(address)
        assert "abc123" not in str(caught.value) and "TRUNKLINE_SECRET_" in str(caught.value)


@pytest.mark.parametrize(
    ("path", "kind", "says"),
    [
        ("/absent.jsonl", MissingError, "404"),
        ("/secret", AccessError, "403"),
        ("/broken", ServiceError, "500"),
        ("/loop", ServiceError, "redirects without end"),
        ("/downgrade", AccessError, "must stay with https"),
        ("/metadata", AccessError, "not at a public address"),
    ],
)
def test_what_a_web_server_may_answer(web, path, kind, says):
    with pytest.raises(kind) as caught:
        find(f"{web}{path}")
    assert says in str(caught.value)


def test_an_unknown_certificate_is_refused(web, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ServiceError, match="does not answer"):
        find(f"{web}/a.jsonl")
