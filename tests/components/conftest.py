import hashlib
import os
import zipfile
from pathlib import Path

import pytest

from components.lib.storage.stage import Context
from components.lib.storage.store import Store


@pytest.fixture
def tracked(tmp_path: Path, sqlite_uri: str) -> Context:
    """A context with a file store and sqlite tracking."""
    details = {"preset": "smoke", "git": "0" * 40, "image": ""}
    store = Store(str(tmp_path / "store"))
    return Context(store, tracking_uri=sqlite_uri, run_id="run-1", stage="registration", details=details)


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch) -> tuple[Path, str]:
    """A wheel in a folder that pip's settings point to, as a mirror without network would."""
    path = tmp_path / "index" / "tiny_corpus-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("tiny/data.jsonl", '{"text": "inside a wheel", "label": "data"}\n')
        file.writestr("tiny/__init__.py", "raise SystemExit('the code of the package ran')")
        meta = "tiny_corpus-1.0.dist-info"
        file.writestr(f"{meta}/METADATA", "Metadata-Version: 2.1\nName: tiny-corpus\nVersion: 1.0\n")
        file.writestr(f"{meta}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{meta}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("TRUNKLINE_CACHE", str(tmp_path / "cache"))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()
