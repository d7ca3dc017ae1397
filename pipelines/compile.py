"""Writes the graphs as KFP's intermediate YAML and as manifests for GitOps."""

from __future__ import annotations

import functools
import importlib
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from components.lib.core.errors import TrunklineError
from components.lib.storage.artifacts import sha256
from pipelines import compiled_checks
from pipelines.parameters import PIPELINES

PREFIX = "trunkline-"  # of the names on a cluster
_SDK = re.compile(r"^sdkVersion: .*\n", re.MULTILINE)
_TAG = re.compile(r"(trunkline-[a-z]+):[0-9a-f]{12}\b")


def graph(name: str) -> Any:
    """The pipeline called `name`."""
    return getattr(importlib.import_module(f"pipelines.{name}"), name)


def write(folder: Path, names: Sequence[str] = PIPELINES, *, golden: bool = False) -> list[Path]:
    """Compiles pipelines into `folder`, checks them, and adds `kubernetes/` with manifests for GitOps.

    Args:
        golden: leaves out the manifests, the version of the compiler and the tags of images, so that a file
            changes only with its graph.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.yaml" for name in names]
    for path in paths:
        compiled = text(path.stem)
        path.write_text(_TAG.sub(r"\1", _SDK.sub("", compiled)) if golden else compiled, encoding="utf-8")
        if not golden:
            _manifests(path.stem, revision(path.stem, compiled), folder / "kubernetes")
    return paths


@functools.cache
def text(name: str) -> str:
    """A pipeline as intermediate YAML, checked; graphs are built once a process."""
    with tempfile.TemporaryDirectory(prefix="trunkline-") as folder:
        path = Path(folder) / f"{name}.yaml"
        compiler.Compiler().compile(graph(name), str(path))
        compiled = path.read_text(encoding="utf-8")
    compiled_checks.check(compiled, path.name)
    return compiled


def revision(name: str, text: str) -> str:
    """The name of the version with this content, whichever compiler wrote it."""
    return f"{PREFIX}{name}-{sha256(_SDK.sub('', text).encode())[:12]}"


def _manifests(name: str, label: str, folder: Path) -> None:
    """`Pipeline` and `PipelineVersion` of KFP's Kubernetes-native API, for `kubectl apply`."""
    folder.mkdir(exist_ok=True)
    options = KubernetesManifestOptions(
        pipeline_name=f"{PREFIX}{name}",
        pipeline_version_name=label,
        include_pipeline_manifest=True,
    )
    form = {"kubernetes_manifest_format": True, "kubernetes_manifest_options": options}
    compiler.Compiler().compile(graph(name), str(folder / f"{name}.yaml"), **form)


def main(words: list[str]) -> int:
    """Compiles into the folder that is named, all pipelines or those named after it; returns an exit code."""
    target = Path(words[0] if words else "build")
    try:
        for written in write(target, words[1:] or PIPELINES, golden="golden" in target.parts):
            print(written)
    except TrunklineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
