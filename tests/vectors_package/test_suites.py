"""The contract suites of modalities, objectives, tasks, modes and starts run over a user's package, too."""

import re
import subprocess
import sys

import pytest

from tests.architecture.imports import ROOT
from tests.vectors_package.installation import environment

FOLDERS = ("modalities", "objectives", "tasks", "modes", "starts")


@pytest.mark.long
def test_the_contract_suites_find_nothing(tmp_path):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-k",
        "vectors",
    ]
    done = subprocess.run(
        [*command, *(f"tests/components/lib/{folder}/test_contract.py" for folder in FOLDERS)],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 50
