"""The locks say what pyproject.toml and constraints.txt say; Dockerfiles install nothing else."""

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from images.contents import FAMILIES, ROOT
from images.locks import CUDA, GROUPS, read, requirements

LOCKS = sorted((ROOT / "images").glob("*/*.txt"))
DOCKERFILES = sorted((ROOT / "images").glob("*/Dockerfile"))
PINS = {
    canonicalize_name(line.partition("==")[0]): line.partition("==")[2]
    for line in (ROOT / "constraints.txt").read_text().split()
    if "==" in line
}


@pytest.mark.parametrize("image", GROUPS)
def test_a_lock_holds_what_the_image_asks_for(image):
    """If this fails after a change of pyproject.toml or constraints.txt: make locks."""
    locked = read(ROOT / "images" / image / "lock.txt")
    for requirement in map(Requirement, requirements(image)):
        found = locked.get(canonicalize_name(requirement.name), "nothing: make locks")
        assert requirement.specifier.contains(found), (requirement, found)


@pytest.mark.parametrize("path", LOCKS, ids=str)
def test_a_lock_pins_the_versions_that_are_tested_by_hash(path):
    """If this fails after a change of constraints.txt: make locks."""
    if path.name in ("lock.txt", "executor.txt"):
        assert read(path).items() <= PINS.items()
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"\S+==\S+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines)
    assert len(read(path)) == sum("==" in line for line in lines) > 0


def test_families_share_versions_and_only_training_has_torch():
    locks = {image: read(ROOT / "images" / image / "lock.txt") for image in ("base", *FAMILIES)}
    for image in FAMILIES:
        assert locks["base"].items() <= locks[image].items()
        assert ("kfp" in locks[image]) == (image == "kubeflow"), "the others have its executor alone"
        assert ("torch" in locks[image]) == (image == "training")
        assert not any(name.startswith(CUDA) for name in locks[image])
    assert [image for image, lock in locks.items() if "pip" in lock] == ["tracking"], "preflight downloads"
    assert "triton" in read(ROOT / "images" / "training" / "cuda.txt")


def test_torch_is_locked_for_both_builds():
    """More files than the default index holds for one version: the CPU build's is among them."""
    text = (ROOT / "images" / "training" / "lock.txt").read_text()
    assert len(re.search(r"^torch==\S+ \\\n((?:    --hash.*\n)+)", text, re.MULTILINE)[1].splitlines()) > 2


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_a_dockerfile_installs_by_hash_and_ends_as_nobody(path):
    text = path.read_text().replace("\\\n", " ")
    for line in text.splitlines():
        for command in re.findall(r"(?:pip\S* (?:--python \S+ )?|install=.*)(?:install|wheel) [^;&]*", line):
            source = " wheel " in command and "--no-build-isolation" in command
            locked = "--require-hashes" in command and ("--only-binary :all:" in command or source)
            own = "--requirement /locks/plugins.txt" in command  # the user's: with hashes, if they want them
            assert locked or own or "--no-index /tmp/built/" in command, command
    assert not re.search(r"^(ADD|RUN .*(curl|wget|apt))", text, re.MULTILINE)
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] == "1001:1001"
