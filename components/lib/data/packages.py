"""Archives of package registries as sources, pinned by version and SHA-256: download, cache, store.

The registry's own client downloads, with the user's own settings (mirrors, proxies, certificates). Nothing is
installed or built, so that no code of a package runs. Preflight's image alone has the clients: it puts the
archive into the store, where the other stages find it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.lib.core.errors import ConfigError, IntegrityError, MissingError, ServiceError
from components.lib.data.listing import Object
from components.lib.storage import source_cache
from components.lib.storage.artifacts import Manifest, sha256_of
from components.lib.storage.store import Store


@dataclass(frozen=True)
class Registry:
    """One registry.

    Attributes:
        scheme: of its URIs: scheme:package==version/member#sha256=<64 hex digits of the archive>.
        client, archive: what downloads, and what that gives, in words.
        ending: of its archives.
        command: of the client, that downloads a package of a version into a folder.
        without, absent: what it says where it is not installed, and where there is no such archive.
    """

    scheme: str
    client: str
    archive: str
    ending: str
    command: Callable[[str, str, str], list[str]]
    without: tuple[str, ...]
    absent: tuple[str, ...]

    def parse(self, uri: str) -> re.Match[str]:
        """Groups package, version, member and sha256 of an address; raises ConfigError."""
        form = (
            rf"{self.scheme}:(?P<package>(@[a-z0-9._-]+/)?[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!+_-]+)"
            r"/(?P<member>[^#]+)#sha256=(?P<sha256>[0-9a-f]{64})"
        )
        match = re.fullmatch(form, uri)
        if not match:
            expected = (
                f"{self.scheme}:package==version/path/in/the/{self.archive}#sha256=<64 hex digits of it>"
            )
            raise ConfigError(f"{self._article} source is malformed", where=uri, expected=expected)
        return match

    @property
    def _article(self) -> str:
        return f"an {self.scheme}" if self.scheme[0] in "aeion" else f"a {self.scheme}"

    def find(self, uri: str) -> list[Object]:
        """One object; nothing is downloaded, because the SHA-256 is known."""
        match = self.parse(uri)
        name = f"{self.scheme}:{match['package']}-{match['version']}{self.ending}!/{match['member']}"
        return [Object(name, f"{match['sha256']}/{match['member']}", -1, uri, match["member"])]

    def fetch(self, entry: Object, folder: Path) -> Path:
        """The archive in the stage's store, else in this machine's cache, downloaded there if need be."""
        match = self.parse(entry.uri)
        return source_cache.find(match["sha256"]) or self._cached(match)

    def keep(self, uri: str, store: Store) -> tuple[Manifest, bool]:
        """Makes sure that the store has the archive; its manifest, and whether it was there already."""
        match = self.parse(uri)
        manifest = source_cache.held(store, match["sha256"])
        if manifest is not None:
            return manifest, True
        return source_cache.put(store, match["sha256"], self._cached(match)), False

    def _cached(self, match: re.Match[str]) -> Path:
        """The archive in this machine's cache; downloaded if it is not there or not what was pinned."""
        cache = Path(os.environ.get("TRUNKLINE_CACHE", "~/.cache/trunkline")).expanduser() / self.scheme
        target = cache / match["sha256"] / f"{match['package'].rpartition('/')[2]}{self.ending}"
        if not target.exists() or sha256_of(target) != match["sha256"]:
            self._download(match, target)
        return target

    def _download(self, match: re.Match[str], target: Path) -> None:
        package = f"{match['package']}=={match['version']}"
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
            command = self.command(match["package"], match["version"], folder)
            found, code, output = [], 0, ""
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, cwd=folder
                )
                found, code, output = (
                    sorted(Path(folder).glob(f"*{self.ending}")),
                    done.returncode,
                    done.stderr,
                )
            except FileNotFoundError as error:
                code, output = 127, str(error)
            if code or len(found) != 1:
                raise self._failure(package, output.strip()[-1500:])
            digest = sha256_of(found[0])
            if digest != match["sha256"]:
                what = f"a {self.archive} is not the one that was pinned"
                expected = f"sha256 {match['sha256']}"
                raise IntegrityError(what, where=package, found=f"sha256 {digest}", expected=expected)
            temporary = target.with_name(f".{uuid.uuid4().hex}")
            shutil.copyfile(found[0], temporary)
            os.replace(temporary, target)

    def _failure(self, package: str, output: str) -> Exception:
        if any(text in output for text in self.without):  # as in every image but preflight's
            fix = "start the run with preflight, which puts it into the store, or name a file in a bucket"
            what = f"{self._article} source needs {self.client}, which is not installed here"
            return ConfigError(what, where=package, fix=fix)
        if any(text in output for text in self.absent):
            fix = f"check name and version, and that the settings of {self.client} reach a registry"
            what = f"{self.client} finds no such {self.archive}"
            return MissingError(what, where=package, found=output, fix=fix)
        fix = f"check the settings of {self.client} (registry, proxy, certificates) and the network"
        what = f"{self.client} could not download a {self.archive}"
        return ServiceError(what, where=package, found=output, fix=fix)
