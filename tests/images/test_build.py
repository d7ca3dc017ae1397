"""Images are started once they are built; an index of torch is served for its CPU build alone."""

import importlib.util
import zipfile

import pytest

from components import STAGES
from images import build, contents, torch_index

DOCKER = """#!/bin/sh
echo "$1 $(echo "$@" | tr " " "\\n" | grep -m 1 "^trunkline-")" >> "$0.log"
case "$1" in
build) cat > /dev/null ;;
run) case "$*" in *trunkline-pretraining*) echo "libcudart.so.13: cannot open"; exit 3 ;; esac ;;
esac
"""


def test_an_image_that_is_built_but_does_not_start_ends_the_build(tmp_path, capsys):
    docker = tmp_path / "docker"
    docker.write_text(DOCKER)
    docker.chmod(0o700)
    assert build.main(["pretraining", "--docker", str(docker)]) == 3
    done = [line.partition(":")[0] for line in (tmp_path / "docker.log").read_text().splitlines()]
    images = [f"trunkline-{name}" for name in ("base", "training", "pretraining")]
    assert [line for line in done if line.startswith("run ")] == [f"run {image}" for image in images]
    assert done[-2:] == ["build trunkline-pretraining", "run trunkline-pretraining"]
    said = capsys.readouterr()
    assert "does not start" in said.err and "libcudart" in said.err and "pretraining" not in said.out


def test_what_an_image_is_to_import_exists():
    names = {name for image in (*contents.CODE, *contents.FAMILIES, "base") for name in build._purpose(image)}
    assert {f"components.{stage}.run" for stage in STAGES} <= names
    ours = [name for name in names if name.startswith(("components.", "pipelines."))]
    assert [name for name in ours if importlib.util.find_spec(name) is None] == []


@pytest.mark.parametrize(("version", "needs"), [("2.13.0+cpu", ""), ("2.13.0", "nvidia-cublas==13.0.0")])
def test_an_index_is_served_for_a_cpu_build_alone(version, needs, tmp_path, monkeypatch, capsys):
    metadata = f"Metadata-Version: 2.1\nName: torch\nVersion: {version}\n"
    metadata += f"Requires-Dist: {needs}\n" if needs else ""
    found = tmp_path / "found"
    found.mkdir()
    with zipfile.ZipFile(found / f"torch-{version}-py3-none-any.whl", "w") as wheel:
        folder = f"torch-{version}.dist-info"
        wheel.writestr(f"{folder}/METADATA", metadata)
        wheel.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{folder}/RECORD", "")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(found), "CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    assert torch_index.main([str(tmp_path / "index")]) == 0
    index = tmp_path / "index" / "torch" / "index.html"
    assert index.exists() == (not needs)
    if needs:
        assert "no CPU build" in capsys.readouterr().err
    else:
        assert "torch-2.13.0%2Bcpu-py3-none-any.whl#sha256=" in index.read_text()
