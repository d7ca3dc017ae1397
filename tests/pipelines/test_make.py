"""What a person types behind `make` reaches Python as it is."""

import json
import os
import shutil
import subprocess

import pytest

from pipelines.parameters import words
from tests.architecture.imports import ROOT

CODE = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]))"
ECHO = f'#!/bin/sh\nexec python3 -c "{CODE}" "$@"\n'
USUAL = {"--pipeline": "training", "--preset": "quickstart"}


@pytest.fixture
def make(tmp_path):
    """The words and the environment with which a target calls its program."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt", ".venv/ready", "bin/python", "bin/mlflow"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(ECHO)
        (tmp_path / name).chmod(0o755)

    def call(*typed, **environment):
        clean = {
            key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MLFLOW_TRACK"))
        }
        how = {"cwd": tmp_path, "env": {**clean, **environment}, "capture_output": True, "text": True}
        done = subprocess.run(["make", "-s", "BIN=bin", *typed], check=False, **how)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return call


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"--source": 'it\'s a folder/with "quotes" and #1'},
        {"--set": "finetuning.seeds=[0, 1] pretraining.launch={nodes: 4, resources: {cpu: 8}}"},
        {"--pipeline": "evaluation", "--branch": "trunkline-20news-topics@challenger"},
        {"--labels": "a b.csv", "--preset": "text-mlm"},
    ],
)
def test_words_of_a_run(make, given):
    (_, module, *found), _ = make("run", *(f"{key[2:].upper()}={value}" for key, value in given.items()))
    said = {key: value for key, value in zip(found[::2], found[1::2], strict=True) if value}
    assert module == "pipelines.local" and said == {**USUAL, **given}


def test_make_itself_ends_with_two_and_names_the_code(make, tmp_path):
    """GNU make has no other: who needs the code calls python -m pipelines.local or pipelines.submit."""
    (tmp_path / "bin" / "python").write_text("#!/bin/sh\nexit 65\n")
    done = subprocess.run(
        ["make", "BIN=bin", "run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "Error 65" in done.stderr


@pytest.mark.parametrize("typed", [[], ["MLFLOW_TRACKING_URI=sqlite:////else where/x.db"]])
def test_the_models_that_are_browsed_served_and_kept_are_those_of_the_address(make, typed):
    expected = typed[0].partition("=")[2] if typed else "sqlite:///runs/mlflow.db"
    found, _ = make("ui", *typed)
    assert found[found.index("--backend-store-uri") + 1] == expected
    assert make("garbage", *typed)[1]["MLFLOW_TRACKING_URI"] == expected
    environment = {"MLFLOW_TRACKING_URI": expected} if typed else {}
    assert make("garbage", **environment)[1]["MLFLOW_TRACKING_URI"] == expected
    assert "MLFLOW_TRACKING_URI" not in make("submit")[1], "a cluster has its own"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a.b=1", ["a.b=1"]),
        ("a.b=[0, 1]  c.d={x: 1, y: [2, 3]}\te=f", ["a.b=[0, 1]", "c.d={x: 1, y: [2, 3]}", "e=f"]),
        ("a=two words b.c=x", ["a=two words", "b.c=x"]),
        ("steps", ["steps"]),
    ],
)
def test_settings_part_where_another_begins(text, expected):
    assert words(text) == expected
