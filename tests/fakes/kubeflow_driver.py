"""A compiled pipeline executed by the rules of KFP's driver and launcher, each step a process.

KFP's local runners have rules of their own. A cluster's driver checks the type of every input, makes text of
whatever is declared as text, and calls states by other names; its launcher reads outputs from files, hands on
copies of artifacts, and starts a failed step again.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.architecture.imports import ROOT

TYPES = {"NUMBER_INTEGER": float, "NUMBER_DOUBLE": float, "BOOLEAN": bool, "LIST": list}
TYPES |= {"STRUCT": dict, "TASK_FINAL_STATUS": dict}
# Places in a step's container -> places below its folder here, or in the checkout.
PLACES = {
    "/scratch": "{folder}/scratch",
    "/presets": "{folder}/presets",
    "/opt/trunkline/presets": f"{ROOT}/pipelines/presets",
}


class Failed(Exception):
    """A step, or a graph with it, has failed."""


@dataclass
class Values:
    """Inputs or outputs of a task: artifacts are lists of paths in the bucket."""

    parameters: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, list[Path]] = field(default_factory=dict)


@dataclass
class Cluster:
    """Runs one pipeline.

    Args:
        text: as it was compiled: two documents.
        variables: what ConfigMaps and Secrets hold, by key.
        release: 2.16 says RUNNING of a graph with inner graphs even after its end.
        plugin: variables that KFP's MLflow plugin gives every step.

    Attributes:
        attempts: step -> how often it was started.
        output: everything that the steps have printed.
    """

    text: str
    folder: Path
    variables: dict[str, str]
    release: str = "2.17"
    run_id: str = "run-1"
    name: str = "smoke 2026-11-28 12:40:05"
    plugin: dict[str, str] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    output: str = ""

    def __post_init__(self) -> None:
        self.spec, platform = yaml.safe_load_all(self.text)
        self.platform = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    def run(self, **parameters: Any) -> str:
        """The state of the run, as Argo has it."""
        given = Values()
        for name, one in self.spec["root"]["inputDefinitions"]["parameters"].items():
            given.parameters[name] = _stored(parameters.get(name, one.get("defaultValue")))
        try:
            self._graph(self.spec["root"], given, "root")
        except Failed:
            return "FAILED"
        return "SUCCEEDED"

    def _graph(self, component: dict, given: Values, where: str) -> Values:
        """Runs the tasks of a graph, its exit tasks on every end; returns its outputs."""
        tasks, done, failure = component["dag"]["tasks"], dict[str, Values](), None
        for name in _ordered(tasks):
            task = tasks[name]
            last = task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED"
            if failure and not last:
                continue
            state = "RUNNING" if self.release == "2.16" else "FAILED" if failure else "COMPLETE"
            assert "condition" not in task.get("triggerPolicy", {}), "a loop behind it cannot be collected"
            try:
                inputs = self._inputs(task, given, done, {"state": state, "error": {}})
                done[name] = self._task(task, inputs, f"{where}.{name}")
            except Failed as error:
                failure = error
        if failure:
            raise failure
        outputs = component["dag"].get("outputs", {}).get("artifacts", {})
        made = Values()
        for name, selector in outputs.items():
            chosen = [
                (one["producerSubtask"], one["outputArtifactKey"]) for one in selector["artifactSelectors"]
            ]
            made.artifacts[name] = [path for task, key in chosen for path in done[task].artifacts[key]]
        return made

    def _task(self, task: dict, given: Values, where: str) -> Values:
        component = self.spec["components"][task["componentRef"]["name"]]
        if "parameterIterator" in task:
            return self._loop(task, component, given, where)
        given = _converted(component, given, where)
        if "dag" in component:
            return self._graph(component, given, where)
        retries = task.get("retryPolicy", {}).get("maxRetryCount", 0)
        return self._step(component, given, where, retries)

    def _loop(self, task: dict, component: dict, given: Values, where: str) -> Values:
        iterator, collected = task["parameterIterator"], Values()
        items = given.parameters.pop(iterator["items"]["inputParameter"])
        assert isinstance(items, list)
        for number, item in enumerate(items):
            inner = Values({**given.parameters, iterator["itemInput"]: item}, given.artifacts)
            missing = {iterator["items"]["inputParameter"]}
            made = self._graph(component, _converted(component, inner, where, missing), f"{where}[{number}]")
            for name, paths in made.artifacts.items():
                collected.artifacts.setdefault(name, []).extend(paths)
        return collected

    def _inputs(self, task: dict, given: Values, done: dict[str, Values], status: dict) -> Values:
        """What the task's inputs name, not yet converted."""
        found = Values()
        for name, source in task.get("inputs", {}).get("parameters", {}).items():
            if key := source.get("componentInputParameter"):
                found.parameters[name] = given.parameters[key]
            elif output := source.get("taskOutputParameter"):
                found.parameters[name] = done[output["producerTask"]].parameters[output["outputParameterKey"]]
            elif "taskFinalStatus" in source:
                found.parameters[name] = status
            else:
                constant = source["runtimeValue"]["constant"]
                told = {"{{$.pipeline_job_uuid}}": self.run_id, "{{$.pipeline_job_name}}": self.name}
                placeholder = isinstance(constant, str) and constant in told
                found.parameters[name] = told[constant] if placeholder else _stored(constant)
        for name, source in task.get("inputs", {}).get("artifacts", {}).items():
            if key := source.get("componentInputArtifact"):
                found.artifacts[name] = given.artifacts[key]
            else:
                output = source["taskOutputArtifact"]
                made, key = done[output["producerTask"]].artifacts, output["outputArtifactKey"]
                if key not in made:  # of a loop without iterations: backend/src/v2/driver/resolve.go
                    raise Failed(f"{output['producerTask']}: {key} not in tasks")
                found.artifacts[name] = made[key]
        return found

    def _step(self, component: dict, given: Values, where: str, retries: int) -> Values:
        """Starts a step until it ends well, at most so often more; 2.17 as it ships never if it failed."""
        for _ in range(1 if self.release >= "2.17" else retries + 1):
            self.attempts[where] = number = self.attempts.get(where, 0) + 1
            folder = self.folder / f"{where}-{number}"
            for name in ("scratch", "presets", "inputs", "outputs", "bucket"):
                (folder / name).mkdir(parents=True)
            command, variables = self._command(component, given, folder), self._environment(component, folder)
            how = {"capture_output": True, "text": True, "timeout": 250, "check": False}
            done = subprocess.run(command, env=variables, cwd=folder, **how)
            self.output += done.stdout + done.stderr
            if done.returncode == 0:
                return self._outputs(component, folder)
        raise Failed(where)

    def _command(self, component: dict, given: Values, folder: Path) -> list[str]:
        definitions = component.get("outputDefinitions", {})
        inputs: dict[str, Any] = {"parameterValues": given.parameters, "artifacts": {}}
        for name, paths in given.artifacts.items():
            copies = [folder / "inputs" / f"{name}-{number}" for number in range(len(paths))]
            for source, copy in zip(paths, copies, strict=True):
                shutil.copy(source, copy)
            given_here = [_artifact(name, copy, "system.Artifact") for copy in copies]
            inputs["artifacts"][name] = {"artifacts": given_here}
        files = {
            name: {"outputFile": str(folder / "outputs" / name)} for name in definitions.get("parameters", {})
        }
        outputs = {"parameters": files, "artifacts": {}}
        outputs["outputFile"] = str(folder / "outputs" / "output_metadata.json")
        for name, one in definitions.get("artifacts", {}).items():
            made = _artifact(name, folder / "bucket" / name, one["artifactType"]["schemaTitle"])
            outputs["artifacts"][name] = {"artifacts": [made]}
        told = json.dumps({"inputs": inputs, "outputs": outputs})
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        return [told if word == "{{$}}" else word for word in [*container["command"], *container["args"]]]

    def _environment(self, component: dict, folder: Path) -> dict[str, str]:
        """Nothing of this process but where its programs are: a container has its image's variables."""
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        found = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        kept = ("GLOO_SOCKET_IFNAME", "OMP_NUM_THREADS")
        found |= {name: os.environ[name] for name in kept if name in os.environ}
        for entry in container["env"]:
            found[entry["name"]] = ":".join(_placed(part, folder) for part in entry["value"].split(":"))
        found |= self.plugin
        settings = self.platform[component["executorLabel"]]
        for one in (*settings.get("secretAsEnv", ()), *settings.get("configMapAsEnv", ())):
            for pair in one["keyToEnv"]:
                key = pair.get("secretKey") or pair["configMapKey"]
                assert pair["envVar"] not in found, "a value and a source: Kubernetes refuses the pod"
                if key in self.variables:
                    found[pair["envVar"]] = self.variables[key]
        return found

    def _outputs(self, component: dict, folder: Path) -> Values:
        """Parameters from files, as text of their type; artifacts as they lie in the bucket."""
        made, definitions = Values(), component.get("outputDefinitions", {})
        file = folder / "outputs" / "output_metadata.json"
        told = json.loads(file.read_text()).get("parameterValues", {}) if file.exists() else {}
        for name, one in definitions.get("parameters", {}).items():
            value = told.get(name)
            if name not in told:
                text = (folder / "outputs" / name).read_text()
                value = text if one["parameterType"] == "STRING" else json.loads(text)
            made.parameters[name] = _stored(value)
        made.artifacts = {name: [folder / "bucket" / name] for name in definitions.get("artifacts", {})}
        return made


def _artifact(name: str, path: Path, title: str) -> dict[str, Any]:
    kind = {"schemaTitle": title, "schemaVersion": "0.0.1"}
    return {"name": name, "uri": str(path), "metadata": {}, "type": kind}


def _placed(text: str, folder: Path) -> str:
    for place, here in PLACES.items():
        if text == place or text.startswith(f"{place}/"):
            return here.format(folder=folder) + text.removeprefix(place)
    return text


def _ordered(tasks: dict[str, Any]) -> Iterator[str]:
    """Each after those that it depends on."""
    left = dict(tasks)
    while left:
        ready = [name for name, task in left.items() if not set(task.get("dependentTasks", ())) & left.keys()]
        assert ready, "tasks depend on each other"
        for name in sorted(ready):
            yield name
            del left[name]


def _stored(value: Any) -> Any:
    """As protobuf keeps it and writes it again: each number is a double, and a whole one loses its point."""
    if isinstance(value, dict):
        return {key: _stored(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        return [_stored(inner) for inner in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _converted(component: dict, given: Values, where: str, missing: set[str] = frozenset()) -> Values:
    """Inputs as the driver hands them on.

    Raises:
        Failed: if one is missing, or of a type that the driver refuses.
    """
    parameters = {}
    for name, one in component.get("inputDefinitions", {}).get("parameters", {}).items():
        if name not in given.parameters:
            if one.get("isOptional") or name in missing:
                continue
            raise Failed(f"{where}: neither value nor default value for {name}")
        value, kind = given.parameters[name], one["parameterType"]
        if kind == "STRING":
            parameters[name] = value if isinstance(value, str) else json.dumps(value)
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and TYPES[kind] is float) and not isinstance(value, TYPES[kind]):
            raise Failed(f"{where}: input parameter {name} type mismatch: expect {kind}, got {type(value)}")
        parameters[name] = value
    return Values(parameters, given.artifacts)
