from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipelines.compile import PIPELINES
from tests.architecture.imports import ROOT

GOLDEN = Path(__file__).parent / "golden"


def compiled(folder, **environment):
    """What a fresh process writes: graphs are built when they are imported, once a process."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.compile", str(folder)],
        cwd=ROOT, env={**inherited, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {path.stem: yaml.safe_load_all(path.read_text()).__next__() for path in folder.glob("*.yaml")}


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compile") / "golden"
    return compiled(folder), folder


def executors(pipeline):
    return pipeline["deploymentSpec"]["executors"]


def tasks(pipeline):
    graphs = [pipeline["root"], *pipeline["components"].values()]
    found = [task for graph in graphs for task in graph.get("dag", {}).get("tasks", {}).values()]
    return [task for task in found if task["componentRef"]["name"] in executed(pipeline)]


def executed(pipeline):
    return {name for name, component in pipeline["components"].items() if "executorLabel" in component}


@pytest.mark.parametrize("name", PIPELINES)
def test_pipeline_is_the_golden_one(name, fresh):
    text = (fresh[1] / f"{name}.yaml").read_text()
    assert text == (GOLDEN / f"{name}.yaml").read_text(), (
        "if the change is meant: make golden, and read the difference"
    )


def test_golden_files_are_the_pipelines():
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(PIPELINES)


@pytest.mark.parametrize("name", PIPELINES)
def test_kfp_caches_nothing_and_installs_nothing(name, fresh):
    assert all(not task["cachingOptions"].get("enableCache") for task in tasks(fresh[0][name]))
    assert "pip install" not in (fresh[1] / f"{name}.yaml").read_text()


@pytest.mark.parametrize("name", PIPELINES)
def test_a_form_has_few_fields_and_each_is_explained(name, fresh):
    inputs = fresh[0][name]["root"]["inputDefinitions"]["parameters"]
    assert len(inputs) <= 12
    assert all(field["description"] for field in inputs.values())


def test_every_pipeline_ends_with_its_exit_record(fresh):
    for pipeline in fresh[0].values():
        close = pipeline["root"]["dag"]["tasks"]["close"]
        assert close["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
