"""A server that speaks as much of the Hugging Face Hub's API as its own client asks for one data set."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789" * 4


@contextmanager
def serving(name: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a hub that has one data set."""

    class Handler(Hub):
        data_set, content = name, files

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Hub(http.server.BaseHTTPRequestHandler):
    data_set: str
    content: Mapping[str, bytes]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        api, resolve = f"/api/datasets/{self.data_set}", f"/datasets/{self.data_set}/resolve/"
        if path.startswith(resolve):
            self._file(path.removeprefix(resolve).partition("/")[2])
        elif path.startswith(f"{api}/tree/"):
            folder = path.removeprefix(f"{api}/tree/").partition("/")[2]
            self._answer([entry for entry in self._tree() if entry["path"].startswith(folder)])
        elif path == api or path.startswith(f"{api}/revision/"):
            siblings = [{"rfilename": name} for name in self.content]
            self._answer({"id": self.data_set, "sha": COMMIT, "private": False, "siblings": siblings})
        else:
            self._error("RepoNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = json.loads(body)["paths"] if body.startswith(b"{") else []
        self._answer([entry for entry in self._tree() if entry["path"] in asked])

    def _tree(self) -> list[dict[str, Any]]:
        folders = {name.rpartition("/")[0] for name in self.content if "/" in name}
        found: list[dict[str, Any]] = [
            {"type": "directory", "path": name, "oid": "f" * 40} for name in folders
        ]
        for name, data in self.content.items():
            oid = hashlib.sha1(data).hexdigest()  # as git names blobs
            found.append({"type": "file", "path": name, "size": len(data), "oid": oid})
        return sorted(found, key=lambda entry: entry["path"])

    def _file(self, name: str) -> None:
        data = self.content.get(name)
        if data is None:
            self._error("EntryNotFound")
            return
        self._answer(data, ETag=f'"{hashlib.sha1(data).hexdigest()}"')

    def _error(self, code: str) -> None:
        self._answer({"error": code}, 404, **{"X-Error-Code": code, "X-Error-Message": code})

    def _answer(self, value: Any, status: int = 200, **headers: str) -> None:
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"X-Repo-Commit": COMMIT, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Says nothing."""
