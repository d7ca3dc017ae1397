"""What the README and the documents beside it say of the tree is so."""

import argparse
import re

import pytest

from components.lib.core.errors import TrunklineError
from components.preflight.plan import resolve
from pipelines import parameters
from tests.architecture.imports import ORDER, ROOT

README = (ROOT / "README.md").read_text()
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *(ROOT / ".github").glob("*.md"),
    *ROOT.glob("charts/*/*.md"),
]
LIB, PRESETS = ROOT / "components" / "lib", ROOT / "pipelines" / "presets"
KINDS = {"objective": LIB / "objectives", "kind": LIB / "tasks", "mode": LIB / "modes"}
TEXT = "\n".join(
    path.read_text() for path in DOCUMENTS if path.name != "CHANGELOG.md"
)  # which tells of the past


def test_it_is_short():
    assert len(README.splitlines()) <= 150


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_and_every_named_file_exists(path):
    text = path.read_text()
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    assert all((path.parent / link).exists() for link in links), links
    named = re.findall(r"`((?:components|pipelines|images|charts|tests)/(?!\S*/x\b)[\w./-]+)`", text)
    lacking = [name for name in named if not (ROOT / name).exists()]
    assert lacking == [] or path.name == "CHANGELOG.md", lacking


def test_every_preset_is_in_the_table_and_every_named_preset_exists():
    exist = {path.stem for path in PRESETS.glob("*.yaml")}
    rows = README.split("| preset |")[1].split("\n\n")[0].splitlines()[2:]
    assert {name for row in rows for name in row.split("|")[1].strip().split(", ")} == exist
    assert set(re.findall(r"PRESET=([\w-]+)", TEXT)) <= exist


@pytest.mark.parametrize("word", KINDS)
def test_every_named_option_exists(word):
    found = re.findall(rf"\b{word}[=:] ?\{{?`?([a-z][a-z_]+)", TEXT)
    exist = {path.stem for path in KINDS[word].iterdir()}
    assert found and set(found) <= exist, set(found) - exist


def test_the_packages_of_lib_and_the_groups_of_entry_points_are_listed():
    assert ", ".join(re.split("[ ,]", ORDER)) in " ".join(README.split())
    (line,) = [line for line in README.splitlines() if "trunkline.objectives" in line]
    groups = re.findall(r"\.([a-z]+)\b", line.split("#")[1])
    assert all(any((ROOT / "components").rglob(f"{group}/__init__.py")) for group in groups), groups


@pytest.mark.parametrize("text", sorted(set(re.findall(r"SET='([^'.]+\.[^']*=[^']*)'", README))))
def test_every_setting_that_is_shown_fits_a_preset(text):
    given, told = argparse.ArgumentParser(), []
    parameters.add(given, store="", tracking_uri="")
    overrides = parameters.read(given.parse_args(["--set", text]))["overrides"]
    presets = sorted(PRESETS.glob("*.yaml"))
    for preset in presets:
        try:
            resolve(preset.stem, overrides)
        except TrunklineError as error:
            told.append(str(error))
    assert len(told) < len(presets), told
