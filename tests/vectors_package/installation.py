"""The package as an installation leaves it: modules on the path, and the metadata of its entry points."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

HERE = Path(__file__).parent


def environment(site: Path) -> dict[str, str]:
    """Variables of a process that has the package and its presets; `site` gets the metadata."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    metadata = site / f"trunkline_vectors-{project['version']}.dist-info"
    metadata.mkdir(parents=True)
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    fields = {"Metadata-Version": "2.1", "Name": project["name"], "Version": project["version"]}
    (metadata / "METADATA").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    path = os.pathsep.join([str(site), str(HERE)])
    return {**os.environ, "PYTHONPATH": path, "TRUNKLINE_PRESETS": str(HERE / "presets")}
