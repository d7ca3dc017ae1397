"""Writes the graphs as KFP's intermediate YAML and as manifests for GitOps."""

from __future__ import annotations

import functools
import importlib
import re
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler
from kfp.compiler.compiler_utils import KubernetesManifestOptions

from components.lib.core.errors import TrunklineError
from components.lib.storage.artifacts import sha256
from components.preflight.checkout import commit
from pipelines import compiled_checks
from pipelines.parameters import PIPELINES

PREFIX = "trunkline-"  # of the names on a cluster
PRESETS = Path(__file__).parent / "presets"
SUMMARY = 120  # characters of each preset: a description travels in an address
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
            _manifests(path.stem, version(compiled), folder / "kubernetes")
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


def digest(text: str) -> str:
    """Digest of a compiled pipeline, whichever compiler wrote it: the last part of its version's name."""
    return sha256(_SDK.sub("", text).encode())[:12]


def version(text: str) -> str:
    """Name of the version with this content: date and commit of the checkout, and its digest."""
    known = commit()
    command = ["git", "-C", str(Path(__file__).parent), "show", "-s", "--format=%cs", known]
    try:
        day = subprocess.run(command, capture_output=True, text=True, timeout=3, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):  # an image has no git
        day = time.strftime("%Y-%m-%d")
    return "-".join(filter(None, (day, known[:7], digest(text))))


def description(name: str) -> str:
    """What a pipeline does, its parameters and the presets, as the UI shows it beside its versions."""
    root = next(yaml.safe_load_all(text(name)))["root"]["inputDefinitions"]["parameters"]
    lines = [f"{key}: {' '.join(one['description'].split())}" for key, one in root.items()]
    presets = sorted(PRESETS.glob("*.yaml"))
    lines += ["Presets:", *(f"{path.stem}: {_summary(path)}" for path in presets)]
    return "\n".join([str(graph(name).description), *lines])


def _summary(preset: Path) -> str:
    """The first sentence of the comment that a preset begins with."""
    text = re.match(r"(?:#.*\n)*", preset.read_text(encoding="utf-8"))
    words = " ".join(text[0].replace("#", " ").split()) if text else ""
    return textwrap.shorten(re.split(r"(?<=[.?]) ", words)[0], SUMMARY, placeholder=" ...")


def _manifests(name: str, label: str, folder: Path) -> None:
    """`Pipeline` and `PipelineVersion` of KFP's Kubernetes-native API, for `kubectl apply`."""
    folder.mkdir(exist_ok=True)
    options = KubernetesManifestOptions(
        pipeline_name=f"{PREFIX}{name}", pipeline_version_name=label, include_pipeline_manifest=True
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
