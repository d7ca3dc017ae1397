"""Builds images: `python -m images.build [IMAGE ...]`, all of them without a name; see `make images`.

Each is started once it is built, and imports what it is for: a build that ends well may still lack a library.
Their names go to build/images.yaml too, as values for the chart.

Settings of pip (an own index, a proxy) and certificates are handed in as secrets: no image keeps them.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tomllib

from images.contents import CODE, FAMILIES, ROOT, chain, contents, name, parent, tag

PATTERN = "{image}:{tag}"
# Value of the chart -> image: MLflow and the garbage collector, pods of a TrainJob, what applies schedules.
CHART = {"tracking": "registration", "training": "pretraining", "pipelines": "pipelines"}

PACKAGES = {  # of each family; what `registration` is besides a stage: MLflow's server, the garbage collector
    "base": ("numpy", "pyarrow", "kfp.dsl.executor_main"),
    "data": ("datasets", "kubernetes"),
    "training": ("torch", "transformers", "mlflow", "kubernetes"),
    "tracking": ("mlflow", "psycopg", "kubernetes"),
    "registration": ("mlflow.server", "psycopg", "components.lib.registry.retention.orphans"),
    "kubeflow": ("kfp", "kubernetes"),
    "pipelines": ("pipelines.submit", "pipelines.schedule", "pipelines.compile"),
}
STARTED = """
import importlib, os, sys
for name in sys.argv[1:]:
    if name == "kfp.dsl.executor_main":  # without what compiles
        os.environ["_KFP_RUNTIME"] = "true"
    importlib.import_module(name)
torch = sys.modules.get("torch")
if torch and torch.ones(2).sum() == 2:
    print(f"torch {torch.__version__}, CUDA {torch.version.cuda}")
"""


def main(words: list[str] | None = None) -> int:
    """Builds what is named and all below it; returns the exit code of the build that failed, or 0."""
    arguments = _parser().parse_args(words)
    if arguments.list:
        print("\n".join(name(image, arguments.pattern) for image in arguments.image or CODE))
        return 0
    wanted = arguments.image or [*CODE, *FAMILIES]
    for image in dict.fromkeys(link for one in wanted for link in chain(one)):
        for target in ("tools", "base") if image == "base" else ("",):
            code = _build(image, target, arguments)
            if code:
                return code
        code, said = _start(image, arguments)
        if code:
            print(f"{name(image, arguments.pattern)} was built, but does not start:\n{said}", file=sys.stderr)
            return code
        if arguments.push and image in wanted:
            subprocess.run([arguments.docker, "push", name(image, arguments.pattern)], check=True)
        print(f"{name(image, arguments.pattern)} {said}".rstrip(), flush=True)
    path = ROOT / "build" / "images.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(values(arguments.pattern), encoding="utf-8")
    return 0


def values(pattern: str) -> str:
    """Values of the chart that name the images, as YAML."""
    return "images:\n" + "".join(f"  {key}: {name(image, pattern)}\n" for key, image in CHART.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m images.build", description=__doc__)
    parser.add_argument("image", nargs="*", choices=[*CODE, *FAMILIES, "base", []], metavar="IMAGE")
    parser.add_argument("--push", action="store_true", help="push what was named")
    parser.add_argument("--list", action="store_true", help="only print the names of what a cluster runs")
    for option, variable, default, said in (
        ("--pattern", "TRUNKLINE_IMAGES", PATTERN, "names of images"),
        ("--docker", "DOCKER", "docker", "program that builds, such as podman"),
        ("--base-image", "BASE_IMAGE", None, "instead of Docker Hub's Python"),
        ("--torch-index", "TORCH_INDEX", None, "package index with another torch"),
        ("--pip-conf", "PIP_CONF", None, "pip's settings while building"),
        ("--ca", "CA_BUNDLE", None, "certificates, at /run/secrets/ca in the build"),
        ("--network", "BUILD_NETWORK", None, "such as host"),
    ):
        parser.add_argument(option, default=os.environ.get(variable) or default, help=said)
    return parser


def _build(image: str, target: str, arguments: argparse.Namespace) -> int:
    """One `docker build` from a context that holds the image's contents and nothing else."""
    tools = f"trunkline-tools:{tag('base')}"
    called = tools if target == "tools" else name(image, arguments.pattern)
    given = {
        "BASE_IMAGE": arguments.base_image if image == "base" else None,
        "TORCH_INDEX": arguments.torch_index if image == "training" else None,
        "TOOLS": tools if image in FAMILIES else None,
        "BASE": name("base", arguments.pattern) if image in FAMILIES else None,
        "FAMILY": name(parent(image), arguments.pattern) if image in CODE else None,
        "NAME": called if image in CODE else None,
        "COMMIT": _commit() if image in CODE else None,
    }
    command = [arguments.docker, "build", "--tag", called, *_labels(image)]
    command += ["--target", target] if target else []
    command += ["--network", arguments.network] if arguments.network else []
    for secret, path in (("pip", arguments.pip_conf), ("ca", arguments.ca)):
        command += ["--secret", f"id={secret},src={path}"] if path else []
    for key, value in given.items():
        command += ["--build-arg", f"{key}={value}"] if value else []
    environment = {**os.environ, "DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
    context = _context(image)
    done = subprocess.run([*command, "-"], input=context, env=environment, capture_output=True, check=False)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout + done.stderr)
    return done.returncode


def _start(image: str, arguments: argparse.Namespace) -> tuple[int, str]:
    """Exit code and words of a container that imports what the image is for, and tells its torch."""
    run = [arguments.docker, "run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp"]
    command = [*run, name(image, arguments.pattern), "python", "-c", STARTED, *_purpose(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout if done.returncode == 0 else done.stdout + done.stderr).strip()


def _purpose(image: str) -> list[str]:
    """The modules that the image has to import: every one of a stage, all that its packages are for."""
    own = PACKAGES.get(image) or PACKAGES.get(parent(image), ())
    files = [entry for entry in contents(image) if entry.startswith(f"components/{image}/")]
    modules = [entry.removesuffix(".py") for entry in files if entry.endswith(".py")]
    return [*own, *(entry.removesuffix("/__init__").replace("/", ".") for entry in modules)]


def _context(image: str) -> bytes:
    """A tar of the contents, the same bytes whoever makes it and whenever."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry, path in contents(image).items():
            data = path.read_bytes()
            info = tarfile.TarInfo(entry)
            info.size, info.mode = len(data), 0o644
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _labels(image: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = {
        "title": f"trunkline-{image}",
        "description": project["description"],
        "version": project["version"],
        "licenses": project["license"]["text"],
        "revision": _commit(),
    }
    return [f"--label=org.opencontainers.image.{key}={value}" for key, value in labels.items()]


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
