"""Code that serves a model is copied whole, with a plugin's own package; a process holds several versions."""

import importlib
import subprocess
import sys

from components.lib.registry import code_bundle

FILES = {
    "__init__.py": "",
    "shared.py": "VERSION = {version}\n",
    "unused.py": "raise SystemExit('it is not copied')\n",
    "kind/__init__.py": '"""Their own kind of data."""\nMODEL_TYPES = ("theirs_kind",)\n',
    "kind/deep.py": "from . import MODEL_TYPES\nfrom ..shared import VERSION\n",
    "kind/labelled.py": """
from typing import TYPE_CHECKING

import theirs.shared
import theirs.shared as again
from components.lib.core.errors import DataError
from theirs import shared

if TYPE_CHECKING:
    from theirs import unused


def found():
    from theirs.kind.deep import MODEL_TYPES, VERSION

    assert again is shared is theirs.shared and VERSION == shared.VERSION
    return VERSION, MODEL_TYPES[0], DataError.__module__.partition(".")[0]
""",
}


def test_a_plugins_package_is_copied_by_all_ways_of_import(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    code, places = tmp_path / "code", []
    for version in (1, 2):
        home = tmp_path / f"home{version}"
        for name, text in FILES.items():
            (home / "theirs" / name).parent.mkdir(parents=True, exist_ok=True)
            (home / "theirs" / name).write_text(text.replace("{version}", str(version)))
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(home))
            importlib.invalidate_caches()
            for name in [name for name in sys.modules if name.partition(".")[0] == "theirs"]:
                patch.delitem(sys.modules, name)
            places.append(code_bundle.bundle(code, ["theirs.kind.labelled"])["theirs.kind.labelled"])
    lines = [f"import {place}\nprint(*{place}.found())" for place in places]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], cwd=code, capture_output=True, text=True, check=False
    )
    expected = [f"{n} theirs_kind {place.partition('.')[0]}" for n, place in enumerate(places, 1)]
    assert done.stdout.splitlines() == expected, done.stderr
    assert len(set(expected)) == 2 and not list(code.rglob("unused.py"))
