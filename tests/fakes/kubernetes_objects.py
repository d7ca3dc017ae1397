"""Plain objects of Kubernetes by kind and name, with selectors; and programs run in pods by `exec`."""

import base64
import contextlib
import hashlib
import io
import json
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes import http_server

_PATH = re.compile(
    "/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)(?:/namespaces/(?P<namespace>[^/]+)(?=/))?"
    "/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<part>log|exec))?"
)
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of RFC 6455
Exec = Callable[[str, list[str]], tuple[str, int]]


def parsed(target: str) -> tuple[str, str, str, dict[str, str]]:
    """Kind, name, part and query of the path of a request."""
    parts = urlsplit(target)
    found = _PATH.fullmatch(parts.path)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return (found["kind"], found["name"] or "", found["part"] or "", query) if found else ("", "", "", query)


def selected(items: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    """Those that the selectors of a list ask for."""
    labels = _pairs(query.get("labelSelector", ""))
    fields = _pairs(query.get("fieldSelector", ""))
    return [
        item
        for item in items
        if all((item["metadata"].get("labels") or {}).get(name) == value for name, value in labels)
        and all(_field(item, name) == value for name, value in fields)
    ]


def stream(handler: http_server.Handler, items: Callable[[], list | None], query: dict[str, str]) -> None:
    """Answers a watch: changes as they come; what is there first counts as added."""
    known: dict[str, str] = {}
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    end = time.monotonic() + float(query["timeoutSeconds"])
    try:
        while time.monotonic() < end and (found := items()) is not None:
            there = {item["metadata"]["name"]: json.dumps(item) for item in selected(found, query)}
            for name, item in {**known, **there}.items():
                if known.get(name) != there.get(name):
                    kind = "DELETED" if name not in there else "MODIFIED" if name in known else "ADDED"
                    chunk(handler, f'{{"type": "{kind}", "object": {item}}}\n'.encode())
            known = there
            time.sleep(0.05)
        handler.wfile.write(b"0\r\n\r\n")
    except OSError:  # whoever watched has gone
        handler.wfile, handler.close_connection = io.BytesIO(), True


def chunk(handler: http_server.Handler, data: bytes) -> None:
    """A part of an answer of which the length is not known."""
    handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
    handler.wfile.flush()


def execute(handler: http_server.Handler, run: Exec, pod: str) -> None:
    """Answers a WebSocket of `kubectl exec` (v4.channel.k8s.io): standard output, then how it ended."""
    words = parse_qs(urlsplit(handler.path).query)["command"]
    key = handler.headers["Sec-WebSocket-Key"].encode()
    handler.send_response(101, "Switching Protocols")
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    accepted = base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
    handler.send_header("Sec-WebSocket-Accept", accepted)
    handler.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
    handler.end_headers()
    output, code = run(pod, words)
    causes = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    status = {"status": "Failure", "details": causes} if code else {"status": "Success"}
    with contextlib.suppress(OSError):
        handler.wfile.write(
            _frame(2, b"\1" + output.encode()) + _frame(2, b"\3" + json.dumps(status).encode())
        )
        handler.wfile.write(_frame(8, b"\3\xe8"))
        handler.wfile.flush()
    handler.close_connection = True


def _frame(opcode: int, data: bytes) -> bytes:
    size = len(data)
    length = (
        bytes([size])
        if size < 126
        else b"\x7e" + size.to_bytes(2)
        if size < 65536
        else b"\x7f" + size.to_bytes(8)
    )
    return bytes([0x80 | opcode]) + length + data


def _pairs(selector: str) -> list[tuple[str, str]]:
    parts = [part.partition("=") for part in selector.split(",") if part]
    return [(name, value.lstrip("=")) for name, _, value in parts]


def _field(item: dict[str, Any], path: str) -> Any:
    value: Any = item
    for name in path.split("."):
        value = (value or {}).get(name)
    return value
