"""A server that speaks as much of the Hugging Face Hub's API as its own client asks for one repository."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.fakes import http_server

COMMIT = "0123456789" * 4


def serving(name: str, files: Mapping[str, bytes], kind: str = "datasets") -> AbstractContextManager[str]:
    """The address of a hub that has one data set, or one of `models`."""
    return http_server.serving(Hub, kind=kind, name=name, content=files)


class Hub(http_server.Handler):
    kind: str
    name: str
    content: Mapping[str, bytes]

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        folder = "" if self.kind == "models" else f"/{self.kind}"
        api, resolve = f"/api/{self.kind}/{self.name}", f"{folder}/{self.name}/resolve/"
        if path.startswith(resolve):
            self._file(path.removeprefix(resolve).partition("/")[2])
        elif path.startswith(f"{api}/tree/"):
            folder = path.removeprefix(f"{api}/tree/").partition("/")[2]
            self._answer([entry for entry in self._tree() if entry["path"].startswith(folder)])
        elif path.startswith(f"{api}/revision/") and path.rpartition("/")[2] not in ("main", COMMIT):
            self._error("RevisionNotFound")
        elif path == api or path.startswith(f"{api}/revision/"):
            siblings = [{"rfilename": name} for name in self.content]
            self._answer({"id": self.name, "sha": COMMIT, "private": False, "siblings": siblings})
        else:
            self._error("RepoNotFound")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        body = self.body()
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
        self.send(status, value, **{"X-Repo-Commit": COMMIT, **headers})
