"""Writes the graphs as KFP's intermediate YAML: `python -m pipelines.compile build`."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from kfp import compiler

PIPELINES = ("training", "finetuning", "evaluation")


def graph(name: str) -> Any:
    """The pipeline called `name`."""
    return getattr(importlib.import_module(f"pipelines.{name}"), name)


def write(folder: Path, *, golden: bool = False) -> list[Path]:
    """Compiles every pipeline into `folder`.

    Args:
        golden: leaves out the version of the compiler, so that a file changes only with its graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.yaml" for name in PIPELINES]
    for path in paths:
        compiler.Compiler().compile(graph(path.stem), str(path))
        if golden:
            text = path.read_text(encoding="utf-8")
            path.write_text(re.sub(r"^sdkVersion: .*\n", "", text, flags=re.MULTILINE), encoding="utf-8")
    return paths


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    for written in write(target, golden=target.name == "golden"):
        print(written)
