"""The suites find faults that no test on a CPU has found: each was in the product, and is planted here again.

They are planted as a package of somebody else would bring them, by entry points.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from components.lib.objectives import denoising
from components.lib.tasks import sequence_classification
from tests.accelerator import NAME, VARIABLE
from tests.architecture.imports import ROOT

FOLDER, CASES = "tests/components/lib", "planted and (cnn or gpt2) and (pass or pictures or outcomes)"
BATCHES = "    inputs = ((places, batch"
# plugin: its kind, the original, what of it is replaced, by what; the tests that are to fail
PLANTED = {
    "planted_sound": ("objectives", denoising, "", "", []),
    "planted_view": (
        "objectives",
        denoising,
        "view = moved(self.prepare(samples, draw), next(self.parameters()).device)",
        "view = samples.view(draw, 'view').to(next(self.parameters()).device)",
        ["test_validation_and_pictures_are_made_where_the_model_is"],
    ),
    "planted_wait": (
        "objectives",
        denoising,
        "        return Loss(total, batch.weight",
        "        assert total.item() >= 0\n        return Loss(total, batch.weight",
        ["test_a_pass_is_a_function_of_samples_and_seed_and_reaches_every_weight_of_the_trunk"],
    ),
    "planted_well": ("tasks", sequence_classification, "", "", []),
    "planted_host": (
        "tasks",
        sequence_classification,
        BATCHES,
        "    batches = lambda model, samples, size: ((p, samples.batch(p)) for p in samples.batches(size))\n"
        + BATCHES,
        ["test_outcomes_are_those_of_each_example"],
    ),
    "planted_numpy": (
        "tasks",
        sequence_classification,
        ".logits.double().cpu().numpy()",
        ".logits.double().numpy()",
        ["test_outcomes_are_those_of_each_example"],
    ),
}


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> str:
    """What pytest says of the planted plugins, on the card."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "somebody").mkdir()
    groups: dict[str, list[str]] = {}
    for name, (kind, original, old, new, _) in PLANTED.items():
        text = Path(original.__file__).read_text()
        assert old in text
        (folder / "somebody" / f"{name}.py").write_text(text.replace(old, new) if old else text)
        groups.setdefault(f"trunkline.{kind}", []).append(f"{name} = somebody.{name}\n")
    (folder / "somebody-1.dist-info").mkdir()
    (folder / "somebody-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: somebody\nVersion: 1\n"
    )
    lines = "".join(f"[{group}]\n{''.join(entries)}\n" for group, entries in groups.items())
    (folder / "somebody-1.dist-info" / "entry_points.txt").write_text(lines)
    suites = [f"{FOLDER}/{kind}/test_contract.py" for kind in ("objectives", "tasks")]
    options = "-q -p no:cacheprovider -p no:xdist -k planted".split()
    command = [sys.executable, "-m", "pytest", *options]
    environment = {**os.environ, VARIABLE: NAME, "PYTHONPATH": str(folder)}
    done = subprocess.run(
        [*command, *suites],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PLANTED)
def test_the_suite_finds_it(name, failed):
    found = set(re.findall(rf"^FAILED \S+::(\w+)\[{name}\b", failed, re.MULTILINE))
    expected = set(PLANTED[name][-1])
    assert expected <= found and bool(found) == bool(expected), failed
