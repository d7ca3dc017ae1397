"""The published weights that the registered trunk came from, as they are: what its pre-training added."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from components.lib.models import classifiers
from components.lib.starts import Origin

WEIGHTS = True
OWN = re.compile(
    r"config\.json|.*\.safetensors(\.index\.json)?"
)  # what a model has that is not a file of its reader


def absent(origin: Origin) -> str:
    """Why there are none."""
    return "" if "public" in origin.trunk.facts else "the trunk does not come from published weights"


def cost(origin: Origin) -> None:
    """Nobody knows: it was pre-trained elsewhere."""


def folder(origin: Origin) -> Path:
    """The published weights, with the files by which the trunk reads: its tokenizer or canvas is theirs."""
    manifest = origin.store.resolve(origin.trunk.facts["public"]["manifest"])
    weights = origin.store.open_folder(manifest, "model/")
    view = Path(tempfile.mkdtemp(prefix="trunkline-"))
    atexit.register(shutil.rmtree, view, ignore_errors=True)
    for root in (origin.folder, weights):
        for path in root.rglob("*"):  # a composed trunk has folders of its parts
            if path.is_file() and bool(OWN.fullmatch(path.name)) == (root == weights):
                link = view / path.relative_to(root)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
    return view


def prepare(model: Any, trunk: Any) -> None:
    """Copies these weights into the branch."""
    classifiers.start_from(model, trunk.model)
