"""The licence of published weights, as their card, their package or the file LICENSE states it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

UNKNOWN = "unknown"
# First words of licences by their SPDX identifiers.
TEXTS = {
    r"apache license\s+version 2\.0": "Apache-2.0",
    r"mit license|permission is hereby granted, free of charge": "MIT",
    r"gnu affero general public license": "AGPL",
    r"gnu lesser general public license": "LGPL",
    r"gnu general public license": "GPL",
    r"redistribution and use in source and binary forms": "BSD",
    r"creative commons attribution-noncommercial": "CC-BY-NC",
    r"creative commons attribution": "CC-BY",
}


def stated(folder: Path, package: str) -> str:
    """The licence of a checkpoint: of its card, else of the file LICENSE beside it, else of its package."""
    return _card(folder / "README.md") or _text(folder) or package or UNKNOWN


def _card(path: Path) -> str:
    """`license` in the YAML head of a model card."""
    if not path.is_file():
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    head = re.match(r"---\s*\n(.*?)\n---\s*\n", text, re.DOTALL)
    try:
        values: Any = yaml.safe_load(head[1]) if head else {}
    except yaml.YAMLError:
        return ""
    if not isinstance(values, dict):
        return ""
    named = values.get("license_name") if values.get("license") == "other" else values.get("license")
    return ", ".join(map(str, named)) if isinstance(named, list) else str(named or "")


def _text(folder: Path) -> str:
    for path in sorted(folder.glob("LICENSE*")):
        start = path.read_text(encoding="utf-8", errors="replace")[:2000].lower()
        for pattern, name in TEXTS.items():
            if re.search(pattern, " ".join(start.split())):
                return name
        return f"see {path.name}"
    return ""
