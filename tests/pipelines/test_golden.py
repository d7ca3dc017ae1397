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
    how = {"cwd": ROOT, "env": {**inherited, **environment}, "capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-m", "pipelines.compile", str(folder)], check=False, **how)
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


def shape(pipeline, component, level=0):
    """(levels below the root, pods) of a graph with one iteration a loop: KFP gives a driver to each graph,
    iteration and step, and an executor to each step.
    """
    levels, pods = level, 1
    for task in component["dag"]["tasks"].values():
        inner = pipeline["components"][task["componentRef"]["name"]]
        if "dag" not in inner:
            pods += 2
            continue
        loop = "parameterIterator" in task
        deepest, more = shape(pipeline, inner, level + 1 + loop)
        levels, pods = max(levels, deepest), pods + more + loop
    return levels, pods


def named(pipeline):
    """What the UI shows of a graph's inner graphs, from outside to inside."""
    component, names = pipeline["root"], []
    while inner := [task for task in component["dag"]["tasks"].values() if not is_step(pipeline, task)]:
        (task,) = inner
        names.append(task["taskInfo"]["name"])
        component = pipeline["components"][task["componentRef"]["name"]]
    return names


def is_step(pipeline, task):
    return "dag" not in pipeline["components"][task["componentRef"]["name"]]


@pytest.mark.parametrize(("name", "pods"), [("training", 22), ("finetuning", 16), ("evaluation", 16)])
def test_a_person_finds_every_stage(name, pods, fresh):
    """At most three levels below the root, named in words, and few pods, each of which takes 10 s."""
    assert shape(fresh[0][name], fresh[0][name]["root"]) == (3, pods)
    assert named(fresh[0][name]) == ["run", "tasks"]


def test_golden_files_are_the_pipelines():
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(PIPELINES)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_is_the_golden_one(name, fresh):
    text, pipeline = (fresh[1] / f"{name}.yaml").read_text(), fresh[0][name]
    golden = (GOLDEN / f"{name}.yaml").read_text()
    assert text == golden, "if the change is meant: make golden, and read the difference"
    assert all(not task["cachingOptions"].get("enableCache") for task in tasks(pipeline)), (
        "KFP caches nothing"
    )
    assert "pip install" not in text
    form = pipeline["root"]["inputDefinitions"]["parameters"]
    assert len(form) <= 12 and all(field["description"] for field in form.values())
    last = pipeline["root"]["dag"]["tasks"]["close"]["triggerPolicy"]["strategy"]
    assert last == "ALL_UPSTREAM_TASKS_COMPLETED", "the exit record"
