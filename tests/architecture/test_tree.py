import importlib
import re
import subprocess

import pytest

from components import STAGES
from pipelines.cluster import NEEDS
from pipelines.stages import STAGE_OF
from tests.architecture.imports import ROOT

BANNED = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
# Endings, or names without one, of what a person writes or records: nothing that a run leaves.
WRITTEN = {
    *"py yaml yml toml j2 tpl sh css md txt json jsonl tsv png svg".split(),
    *"Makefile Dockerfile run helmignore gitignore editorconfig dockerignore".split(),
}
LARGEST, LINK = 2**18, "120000"  # bytes; the mode of a link


def test_folders_are_the_stages():
    folders = {path.parent.name for path in (ROOT / "components").glob("*/__init__.py")}
    assert folders == {*STAGES, "lib"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_whole_tested_and_has_its_place_on_a_cluster(stage):
    have = {path.name for path in (ROOT / "components" / stage).glob("*.py")}
    assert {"__init__.py", "config.py", "component.py", "run.py"} <= have
    assert list((ROOT / "tests" / "components" / stage).glob("test_*.py"))
    assert stage in NEEDS and stage in STAGE_OF.values()


def tracked():
    """path -> mode of everything that git keeps."""
    words = ["git", "ls-files", "-s", "-z"]
    listed = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line.partition("\t")[2]: line[:6] for line in listed.split("\0") if line}


def test_what_is_made_is_not_kept():
    """A link .venv takes the place of the folder in every checkout, a database stays in the history."""
    for name, mode in tracked().items():
        path = ROOT / name
        assert mode != LINK, f"{name} is a link"
        assert (path.suffix.lstrip(".") or path.name.lstrip(".")) in WRITTEN, f"{name}: what a person writes"
        assert not path.exists() or path.stat().st_size <= LARGEST, f"{name} is large for a file of text"


def test_no_file_names_a_place_of_the_machine_where_it_was_written():
    homes = [f"/{folder}/" for folder in ("home", "work", "root", "Users")]
    for name in tracked():
        text = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        assert not [home for home in homes if re.search(rf"(?<![\w.}}-]){home}".encode(), text)], name


def test_every_image_serves_a_family():
    """images/<folder>/lock.txt; its name is the last word of a component's image, or kubeflow."""
    folders = {path.parent.name for path in (ROOT / "images").glob("*/lock.txt")} - {"base", "kubeflow"}
    texts = [(ROOT / "components" / stage / "component.py").read_text() for stage in STAGES]
    used = {text.split('base_image="trunkline-python-')[1].split('"')[0] for text in texts}
    assert folders == used


def test_names_are_nouns_of_the_domain_and_every_folder_of_the_product_is_a_package():
    for folder in ("components", "pipelines", "tests"):
        for path in (ROOT / folder).rglob("*"):
            assert path.stem not in BANNED, path
            if folder != "tests" and path.suffix == ".py":
                assert (path.parent / "__init__.py").exists(), path.parent


def test_no_mark_of_a_merge_is_left():
    texts = [*ROOT.glob("*.md"), ROOT / "Makefile", ROOT / "pyproject.toml", ROOT / "constraints.txt"]
    for path in texts:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if line.startswith(("<<<<<<< ", ">>>>>>> "))], path


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "tests" / "e2e").glob("[a-z]*.py")))
def test_what_only_containers_run_imports_what_there_is(name):
    importlib.import_module(f"tests.e2e.{name}")
