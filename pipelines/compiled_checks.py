"""Checks of compiled pipelines: schema, types of parameters, installs at run time, secrets, long commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2

from components.lib.core.errors import ConfigError, TrunklineError, collected
from components.lib.core.settings import ARGUMENT

INSTALLS = re.compile(r"\b(pip3?|conda|apt-get|apt)\b[^\n]*\binstall\b")
NUMBERS = {"NUMBER_INTEGER", "NUMBER_DOUBLE"}
SECRET = re.compile(r"(SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|ACCESS_KEY|API_KEY|PRIVATE_KEY)")


def check(text: str, where: str) -> None:
    """Raises ConfigErrors with all that is wrong with a compiled pipeline.

    It is what KFP's API server takes; its driver can hand every parameter on; nothing is installed at run
    time; no command is too long for Linux; no variable that is called a secret has a value.
    """
    documents = list(yaml.safe_load_all(text))
    with collected() as errors:
        errors.extend(_forms(documents, where) or _parameters(documents[0], where))
        for name, executor in documents[0]["deploymentSpec"]["executors"].items():
            if "container" in executor:
                errors.extend(_container(executor["container"], f"{where}: {name}"))


def _forms(documents: list[Any], where: str) -> list[TrunklineError]:
    """Whether the documents are the messages that the API server reads, no field unknown."""
    try:
        json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        # which is any JSON to the above
        for executor in documents[0]["deploymentSpec"]["executors"].values():
            json_format.ParseDict(executor, pipeline_spec_pb2.PipelineDeploymentConfig.ExecutorSpec())
        for document in documents[1:]:
            json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
            executors = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
            for executor in executors.values():
                json_format.ParseDict(executor, kubernetes.KubernetesExecutorConfig())
    except (json_format.ParseError, KeyError) as error:
        return [ConfigError("not a pipeline of Kubeflow", where=where, found=error)]
    return []


def _parameters(specification: dict[str, Any], where: str) -> Iterator[TrunklineError]:
    """Parameters whose type KFP's driver refuses in the middle of a run, though everything compiles.

    The driver makes text of any value for an input that is declared as text, an item of an untyped list for
    one, and makes nothing of text again.
    """
    components = specification["components"]
    for graph in (specification["root"], *components.values()):
        tasks = graph.get("dag", {}).get("tasks", {})
        for name, task in tasks.items():
            wanted = _declared(components[task["componentRef"]["name"]], "input")
            for key, source in task.get("inputs", {}).get("parameters", {}).items():
                given = _declared(graph, "input").get(source.get("componentInputParameter"))
                if output := source.get("taskOutputParameter"):
                    made = components[tasks[output["producerTask"]]["componentRef"]["name"]]
                    given = _declared(made, "output").get(output["outputParameterKey"])
                if given and wanted[key] not in ("STRING", given) and not {given, wanted[key]} <= NUMBERS:
                    what, place = "Kubeflow's driver refuses this type", f"{where}: {name}.{key}"
                    fix = "declare it, such as list[dict]"
                    yield ConfigError(what, where=place, found=given, expected=wanted[key], fix=fix)


def _declared(component: dict[str, Any], side: str) -> dict[str, str]:
    """Parameter -> type of a component's inputs or outputs."""
    parameters = component.get(f"{side}Definitions", {}).get("parameters", {})
    return {name: one["parameterType"] for name, one in parameters.items()}


def _container(container: dict[str, Any], where: str) -> Iterator[TrunklineError]:
    words = [*container.get("command", []), *container.get("args", [])]
    longest = max(map(len, words), default=0)
    if longest > ARGUMENT:
        expected = f"at most {ARGUMENT:,} characters"
        yield ConfigError("a command is too long for Linux", where=where, found=longest, expected=expected)
    if any(INSTALLS.search(word) for word in words):
        yield ConfigError("something is installed when it runs", where=where, fix="put it into the image")
    for variable in container.get("env", []):
        if SECRET.search(variable["name"].upper()) and variable.get("value"):
            fix = "name a Secret in the cluster's file: everyone who may read the pipeline reads this"
            yield ConfigError("a secret is written out", where=f"{where}: {variable['name']}", fix=fix)
