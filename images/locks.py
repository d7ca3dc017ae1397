"""Writes the hash locks of the images, and of the scanners and the chart's tests: `make locks`.

One lock an image, from the requirement groups of pyproject.toml at the versions of constraints.txt, with the
hash of every file of each version, whatever its platform. torch is one pin with many builds: CUDA's comes
from the default index, and the libraries it needs stand in `cuda.txt`; the hash of the CPU build, which
other indexes hold, is added, so that both are the very files that were locked. What has no wheel stands in
`source.txt`: the image builds one from the locked source, with the locked setuptools.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from images.contents import ROOT

GROUPS = {
    "base": (),
    "data": ("data",),
    "training": ("data", "training"),
    "tracking": ("tracking", "server"),
    "kubeflow": ("pipeline",),
}
EXECUTOR = "kfp"  # its executor needs none of its dependencies
TOOLS = ("pip", "cyclonedx-bom>=7.5,<8", "setuptools>=80")  # of the build, in no image
CUDA = ("nvidia-", "cuda-", "triton")
SOURCE = ("kfp-server-api",)
PLATFORM = "x86_64-manylinux_2_28"
_BLOCK = re.compile(r"^(\S+?)==(\S+)( ;[^\\\n]*)? \\\n((?:    --hash=\S+(?: \\)?\n)+)", re.MULTILINE)


def requirements(image: str) -> list[str]:
    """What the image's packages are asked to be: ranges of pyproject.toml."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["optional-dependencies"][name] for name in GROUPS[image]]
    return sorted({*project["dependencies"], *(entry for group in groups for entry in group)})


def read(path: Path) -> dict[str, str]:
    """Name -> version of a lock."""
    return {found[1]: found[2] for found in _BLOCK.finditer(path.read_text(encoding="utf-8"))}


def write(uv: str) -> None:
    """Writes every lock anew; `uv` is the program that resolves."""
    for image in GROUPS:
        blocks = _resolved(uv, requirements(image))
        apart = {name for name in blocks if name.startswith(CUDA) or name in SOURCE}
        if "torch" in blocks:
            blocks["torch"] = _with_build_of_here(blocks["torch"])
            _save(image, "cuda.txt", (blocks[name] for name in sorted(apart)))
        if blocks.keys() & set(SOURCE):
            _save(image, "source.txt", (blocks[name] for name in sorted(apart)))
        _save(image, "lock.txt", (block for name, block in blocks.items() if name not in apart))
    pin = next(line for line in _pins() if line.startswith(f"{EXECUTOR}=="))
    _save("base", "executor.txt", [_resolved(uv, [pin], "--no-deps")[EXECUTOR]])
    _save("base", "tools.txt", _resolved(uv, TOOLS).values())
    for tests in ("scan", "charts"):  # environments of their own, on whichever Python
        wanted = (ROOT / "tests" / tests / "requirements.txt").read_text(encoding="utf-8").splitlines()
        _save(f"../tests/{tests}", "lock.txt", _resolved(uv, wanted, "--universal", pinned=False).values())


def _pins() -> list[str]:
    return (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()


def _resolved(uv: str, wanted: Iterable[str], *options: str, pinned: bool = True) -> dict[str, str]:
    """Name, with its marker -> the lines of its lock; `pinned`: as the images are."""
    words = (
        "pip compile - --generate-hashes --quiet --no-header --no-annotate --no-config --python-version 3.11"
    )
    command = [uv, *words.split(), *options]
    if pinned:
        command += ["--constraints", str(ROOT / "constraints.txt"), "--python-platform", PLATFORM]
    done = subprocess.run(command, input="\n".join(wanted), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return {found[1] + (found[3] or ""): found[0] for found in _BLOCK.finditer(done.stdout)}


def _with_build_of_here(block: str) -> str:
    """The lines of a lock with the hash of the build that this machine's own pip settings choose."""
    head, _, hashes = block.partition("\n")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", folder, head.removesuffix(" \\")], check=True)
        (wheel,) = Path(folder).iterdir()
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    return block if digest in block else f"{head}\n    --hash=sha256:{digest} \\\n{hashes}"


def _save(image: str, name: str, blocks: Iterable[str]) -> None:
    text = "# Made by `make locks` from pyproject.toml and constraints.txt: do not edit.\n" + "".join(blocks)
    (ROOT / "images" / image / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(sys.argv[1])
