"""What goes into each image, and the tag that follows from it.

base -> family (data, training, tracking, kubeflow) -> stage, or `pipelines`, which compiles, submits and
schedules. A tag is a hash of all that the repository puts into an image and into those below it, so that it
changes when, and only when, the image does. Families have the packages that `images/plugins.txt` names, too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from components import STAGES

ROOT = Path(__file__).resolve().parents[1]
FAMILIES = ("data", "training", "tracking", "kubeflow")
CODE = (*STAGES, "pipelines")  # the images that hold code of ours
_FAMILY = re.compile(r'base_image="trunkline-python-([a-z]+)"')


def parent(image: str) -> str:
    """The image below: a stage's family, which its component names; of a family `base`; of `base` ''."""
    if image == "pipelines":
        return "kubeflow"
    if image in STAGES:
        text = (ROOT / "components" / image / "component.py").read_text(encoding="utf-8")
        return str(_FAMILY.findall(text)[0])
    return "base" if image in FAMILIES else ""


def chain(image: str) -> list[str]:
    """The images to build for this one, in order, itself last."""
    below = parent(image)
    return [*(chain(below) if below else []), image]


def contents(image: str) -> dict[str, Path]:
    """The files that the build of an image sees: name -> path, sorted."""
    kind = "stage" if image in CODE else "family" if image in FAMILIES else image
    found = {path.name: path for name in {kind, image} for path in _files(ROOT / "images" / name)}
    if image in FAMILIES:
        found |= {path.name: path for path in _plugins(ROOT / "images")}
    if image in CODE:
        sources = _everything() if image == "pipelines" else _sources(image)
        found |= {str(path.relative_to(ROOT)): path for path in sources}
    if image in ("preflight", "pipelines"):  # TRUNKLINE_PRESETS of images/base
        found |= {f"presets/{path.name}": path for path in (ROOT / "pipelines/presets").glob("*.yaml")}
    return dict(sorted(found.items()))


def tag(image: str) -> str:
    """Twelve hexadecimal digits of the hash of its contents and of the tag below."""
    below = parent(image)
    digest = hashlib.sha256(tag(below).encode() if below else b"")
    for name, path in contents(image).items():
        digest.update(f"\n{name} {hashlib.sha256(path.read_bytes()).hexdigest()}".encode())
    return digest.hexdigest()[:12]


def name(image: str, pattern: str) -> str:
    """The full name by a pattern such as `registry.example/team/{image}:{tag}`."""
    return pattern.format(image=f"trunkline-{image}", tag=tag(image) if "{tag}" in pattern else "")


def _plugins(folder: Path) -> list[Path]:
    """The requirements of packages with plugins, and the wheels beside them; none if no package is named."""
    lines = (folder / "plugins.txt").read_text(encoding="utf-8").splitlines()
    named = [line for line in lines if line.strip() and not line.startswith("#")]
    return [folder / "plugins.txt", *folder.glob("*.whl")] if named else []


def _sources(stage: str) -> Iterator[Path]:
    """Code of a stage and of lib; preflight reads the settings and plugins of the others too.

    The interface stays out: it travels in the compiled pipeline, and needs all of kfp.
    """
    components = ROOT / "components"
    yield components / "__init__.py"
    yield from _files(components / "lib")
    yield from (path for path in _files(components / stage) if path.name != "component.py")
    for other in STAGES if stage == "preflight" else ():
        yield components / other / "__init__.py"
        yield components / other / "config.py"
        yield from (
            path for folder in (components / other).iterdir() if folder.is_dir() for path in _files(folder)
        )


def _everything() -> Iterator[Path]:
    """What compiles a graph with the tags of its images: all that goes into them."""
    for folder in ("components", "images", "pipelines"):
        yield from _files(ROOT / folder)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
            yield path
