"""What goes into an image, and that its tag changes when, and only when, that does."""

import re
import shutil
import subprocess
import sys

import pytest

from components import STAGES
from images import contents
from tests.architecture.imports import ROOT

IMAGES = (*contents.CODE, *contents.FAMILIES, "base")
TRAINING = {"pretraining", "finetuning", "evaluation"}
CHANGES = [  # and always `pipelines`, whose graphs name the images by their tags, if a file is one of ours
    ("components/finetuning/run.py", {"finetuning"}),
    ("components/finetuning/config.py", {"finetuning", "preflight"}),
    ("components/finetuning/component.py", set()),
    ("components/lib/objectives/new.py", set(STAGES)),
    ("components/lib/storage/store.py", set(STAGES)),
    ("components/lib/pages/page.css", set(STAGES)),
    ("components/promotion/report.html.j2", {"promotion"}),
    ("pipelines/presets/smoke.yaml", {"preflight"}),
    ("pipelines/training.py", set()),
    ("images/training/cuda.txt", {"training", *TRAINING}),
    ("images/kubeflow/lock.txt", {"kubeflow"}),
    ("images/family/Dockerfile", {*contents.FAMILIES, *STAGES}),
    ("images/stage/Dockerfile", set(STAGES)),
    ("images/base/lock.txt", set(IMAGES)),
    ("images/build.py", set()),
    ("images/plugins.txt", set()),  # which names none
]
NO_CHANGES = (
    "components/lib/storage/__pycache__/store.cpython-311.pyc",
    "components/lib/storage/.store.py.swp",
)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A copy of what images are made from, to be changed."""
    for folder in ("components", "images", "pipelines"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(contents, "ROOT", tmp_path)
    return tmp_path


def tags():
    return {image: contents.tag(image) for image in IMAGES}


def unpack(image, folder):
    for name, path in contents.contents(image).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)


def test_a_tag_changes_with_what_is_in_the_image_and_with_nothing_else(checkout):
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(contents, "ROOT", ROOT)
        there = tags()
    assert tags() == there, "neither the place nor the time of the checkout matters"
    changes = [(path, {*expected, "pipelines"}) for path, expected in CHANGES]
    for path, expected in [*changes, *((path, set()) for path in NO_CHANGES)]:
        before = tags()
        target = checkout / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((target.read_bytes() if target.exists() else b"") + b"\n# changed\n")
        after = tags()
        assert {image for image in IMAGES if before[image] != after[image]} == expected, path


def test_packages_with_plugins_are_in_every_image_that_runs_stages(checkout):
    before, images = tags(), checkout / "images"
    (images / "mine-1.0-py3-none-any.whl").write_bytes(b"a wheel")
    beside = tags()
    assert {image for image in IMAGES if beside[image] != before[image]} == {
        "pipelines"
    }  # nobody asks for it
    (images / "plugins.txt").write_text("# mine\nmine==1.0\n")
    named = tags()
    assert {image for image in IMAGES if named[image] == before[image]} == {"base"}
    for family in contents.FAMILIES:
        assert {"plugins.txt", "mine-1.0-py3-none-any.whl"} <= contents.contents(family).keys()
    (images / "mine-1.0-py3-none-any.whl").write_bytes(b"another wheel")
    assert {image for image in IMAGES if tags()[image] == named[image]} == {"base"}


@pytest.mark.parametrize("stage", STAGES)
def test_an_image_holds_lib_and_its_own_stage_alone(stage):
    names = [name for name in contents.contents(stage) if name.startswith("components/")]
    folders = {name.split("/")[1] for name in names if name.count("/") > 1}
    assert "components/__init__.py" in names and f"components/{stage}/run.py" in names
    if stage != "preflight":
        assert folders == {"lib", stage}
    assert not any(name.endswith("component.py") for name in names)
    others = [name for name in names if name.endswith("/run.py") and name != f"components/{stage}/run.py"]
    assert others in ([], ["components/lib/registry/tracking/run.py"])


@pytest.mark.parametrize("stage", STAGES)
def test_every_template_that_code_names_is_in_the_image(stage):
    files = contents.contents(stage)
    sources = [path for name, path in files.items() if name.endswith((".py", ".j2"))]
    named = {name for path in sources for name in re.findall(r'"([\w/]+\.(?:j2|css))"', path.read_text())}
    own = {f"components/{name}" for name in named if name.split("/")[0] in ("lib", stage)}
    assert own and own <= files.keys()


def test_preflight_finds_every_plugin_and_setting_in_its_image(tmp_path):
    """The settings of all presets are resolved as the container resolves them: from its own files alone."""
    unpack("preflight", tmp_path)
    code = (
        "from components.preflight import settings\n"
        "from components.preflight.plan import resolve\n"
        "print(*(name for name in settings.presets() if resolve(name, {}).stages))"
    )
    environment = {"TRUNKLINE_PRESETS": str(tmp_path / "presets"), "PYTHONPATH": str(tmp_path)}
    how = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([sys.executable, "-c", code], **how)
    known = sorted(path.stem for path in (ROOT / "pipelines" / "presets").glob("*.yaml"))
    assert done.stdout.split() == known, done.stderr


def test_the_image_of_pipelines_knows_the_tags_of_all_the_others(tmp_path, monkeypatch):
    """It compiles graphs that name the other images: what it holds must lead to the very same tags."""
    here = tags()
    unpack("pipelines", tmp_path)
    (tmp_path / "Dockerfile").unlink()  # as images/stage/Dockerfile does
    monkeypatch.setattr(contents, "ROOT", tmp_path)
    assert tags() == here


def test_a_name_follows_the_pattern():
    tag = contents.tag("finetuning")
    pattern = "registry.example/team/{image}:{tag}-cpu"
    assert contents.name("finetuning", pattern) == f"registry.example/team/trunkline-finetuning:{tag}-cpu"
    assert contents.name("finetuning", "{image}:1") == "trunkline-finetuning:1"
    assert contents.chain("finetuning") == ["base", "training", "finetuning"]
    assert contents.chain("pipelines") == ["base", "kubeflow", "pipelines"]
