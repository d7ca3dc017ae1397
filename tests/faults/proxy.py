"""A proxy before a real server (S3, MLflow) that injects faults, and counts those that struck."""

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>asked for</Message></Error>'
HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")


@dataclass
class Fault:
    """One kind of fault on some requests.

    Attributes:
        action: status (answers `status` with the XML error `code`), reset (cuts the connection before the
            server is asked), lost (asks the server, then cuts: the answer is lost), hang (never answers),
            slow (the body drips), truncate (the body ends early), corrupt (one byte of the body is flipped).
        method, path: of the requests concerned; a part of the path is enough.
        every: only each n-th of them.
        times: how often it strikes at most.
    """

    action: str
    method: str = ""
    path: str = ""
    every: int = 1
    times: int = 10**9
    status: int = 503
    code: str = "SlowDown"
    seen: int = 0
    struck: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def strikes(self, method: str, path: str) -> bool:
        """Whether this request is struck."""
        if not (method.startswith(self.method) and self.path in path):
            return False
        with self.lock:
            self.seen += 1
            if self.seen % self.every or self.struck >= self.times:
                return False
            self.struck += 1
            return True


class Proxy(ThreadingHTTPServer):
    """Listens on a free port; `faults` may change at any time."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.upstream = urlsplit(upstream).netloc
        self.faults: list[Fault] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def inject(self, action: str, **details) -> Fault:
        """Adds a fault; returns it, so that a test can see that it struck."""
        fault = Fault(action, **details)
        self.faults.append(fault)
        return fault

    def handle_error(self, request, client_address) -> None:
        """A client that went away is what faults lead to."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _handle(self) -> None:
        body = self._body()
        strikes = (f for f in self.server.faults if f.strikes(self.command, self.path))
        fault = next(strikes, None)
        action = fault.action if fault else ""
        if action == "status":
            data = b"" if self.command == "HEAD" else ERROR.format(code=fault.code).encode()
            return self._send(fault.status, [("Content-Type", "application/xml")], data)
        if action == "hang":
            self.server.ended.wait(600)
        if action in ("reset", "hang"):
            return self._cut()
        status, headers, data = self._ask(body)
        if action == "lost":
            return self._cut()
        if action == "corrupt" and data:
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        return self._send(status, headers, data, action)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = _handle

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        with contextlib.closing(http.client.HTTPConnection(self.server.upstream, timeout=60)) as upstream:
            headers = {k: v for k, v in self.headers.items() if k.lower() not in (*HOP, "expect")}
            upstream.request(self.command, self.path, body, {**headers, "Content-Length": str(len(body))})
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()

    def _send(self, status: int, headers: list[tuple[str, str]], data: bytes, action: str = "") -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP:
                self.send_header(name, value)
        length = dict((name.lower(), value) for name, value in headers).get("content-length")
        size = length if self.command == "HEAD" and length else str(len(data))
        if status != 204:
            self.send_header("Content-Length", size)
        self.end_headers()
        if self.command == "HEAD":
            return None
        if action == "truncate":
            self.wfile.write(data[: len(data) // 2])
            return self._cut()
        if action == "slow":
            for start in range(0, len(data), 64 << 10):
                self.wfile.write(data[start : start + (64 << 10)])
                time.sleep(0.05)
            return None
        self.wfile.write(data)
        return None

    def _cut(self) -> None:
        """Resets the connection: the client sees an error, not an end."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


@contextlib.contextmanager
def before(upstream: str) -> Iterator[Proxy]:
    """A proxy before the server at `upstream`."""
    proxy = Proxy(upstream)
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.ended.set()
        proxy.shutdown()
        proxy.server_close()
