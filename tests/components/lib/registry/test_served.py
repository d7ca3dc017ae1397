"""Every trunk and branch answers by `mlflow.pyfunc` in a process that knows neither project nor packages.

The cases are those of the contract suites: a modality or task that was added a minute ago is served as well.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from components.lib import modalities, tasks
from components.lib.core import plugins
from components.lib.models.branch import load_trunk, pooled
from components.lib.registry.mlflow_model import TRUNK, Use, write
from components.lib.storage.artifacts import sha256_of
from tests import made

TRUNKS = [(TRUNK, *pair) for pair in made.usual(())]
BRANCHES = [
    (name, *pair) for name in plugins.names(made.TASKS) for pair in made.usual(tasks.load(name).NEEDS)
]
CASES = [*TRUNKS, *BRANCHES]
CODE = """
import json, sys, mlflow
found = {}
for name, (values, shown) in json.load(sys.stdin).items():
    model = mlflow.pyfunc.load_model(name)
    assert model.metadata.signature and (model.input_example is not None) == shown
    answers = model.predict(values)
    found[name] = answers.tolist() if hasattr(answers, 'tolist') else answers
assert 'components' not in sys.modules
print('found', json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> dict[str, list]:
    """Case -> what it answers to an example, twice."""
    folder, given = tmp_path_factory.mktemp("served"), {}
    for kind, modality, architecture in CASES:
        name = "-".join((kind, modality, architecture))
        source = made.trunk_folder(modality, architecture)
        if kind != TRUNK:
            branch = made.branch(kind, modality, architecture)
            source = branch.save(branch.model, folder / "saved" / name)
        digests = {path.name: sha256_of(path) for path in source.iterdir()}
        use = Use.of(kind, modality)
        write(source, digests, folder / name, use=use, model_id="m-1", run_id="", readme="")
        given[name] = [made.example(modality)] * 2, modalities.load(modality).EXAMPLE is not None
    how = {"input": json.dumps(given), "capture_output": True, "text": True, "cwd": folder, "check": False}
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CODE], env=clean, **how)
    line = next((line for line in done.stdout.splitlines() if line.startswith("found ")), "")
    assert line, done.stderr
    return json.loads(line.removeprefix("found "))


@pytest.mark.parametrize(("kind", "modality", "architecture"), TRUNKS)
def test_a_trunk_is_served_as_it_pools(answers, kind, modality, architecture):
    folder = made.trunk_folder(modality, architecture)
    reader = modalities.load(modality, "labelled").Reader.open(folder)
    with torch.no_grad():
        values = reader.served([made.example(modality)] * 2)
        expected = pooled(load_trunk(folder), reader.tensors(values))
    assert np.allclose(answers["-".join((kind, modality, architecture))], expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "modality", "architecture"), BRANCHES)
def test_a_branch_is_served_as_its_task_answers(answers, kind, modality, architecture):
    one = made.branch(kind, modality, architecture)
    (role,) = one.inputs
    expected = one.plugin.answer(
        one.model.eval(), one.reader, {role: one.reader.served([made.example(modality)] * 2)}
    )
    found = answers["-".join((kind, modality, architecture))]
    for ours, theirs in zip(expected, found, strict=True):
        assert theirs == pytest.approx(ours, abs=1e-5)


def test_the_vector_of_a_text_is_the_mean_of_its_tokens(answers):
    from transformers import AutoModel, AutoTokenizer

    _, modality, architecture = next(case for case in TRUNKS if case[1] == "text")
    folder = made.trunk_folder(modality, architecture)
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        ids = tokenizer(made.example("text"), return_tensors="pt", return_token_type_ids=False)
        vector = model(**ids)[0][0].mean(dim=0).numpy()
    np.testing.assert_allclose(answers["-".join((TRUNK, modality, architecture))][0], vector, atol=1e-5)
