"""What must be true of compiled pipelines, whatever graph and cluster they were made from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2

from components.lib.errors import ConfigError, TrunklineError, collected

ARGUMENT = 125_000  # characters: Linux takes 128 KiB in one word of a command, and parameters travel there
INSTALLS = re.compile(r"\b(pip3?|conda|apt-get|apt)\b[^\n]*\binstall\b")
SECRET = re.compile(r"(SECRET|TOKEN|PASSWORD|PASSWD|CREDENTIAL|ACCESS_KEY|API_KEY|PRIVATE_KEY)")


def check(text: str, where: str) -> None:
    """Raises ConfigErrors with all that is wrong with a compiled pipeline.

    It is what KFP's API server takes; nothing is installed at run time; no command is too long for Linux;
    no variable that is called a secret has a value.
    """
    documents = list(yaml.safe_load_all(text))
    with collected() as errors:
        errors.extend(_forms(documents, where))
        for name, executor in documents[0]["deploymentSpec"]["executors"].items():
            if "container" in executor:
                errors.extend(_container(executor["container"], f"{where}: {name}"))


def _forms(documents: list[Any], where: str) -> Iterator[TrunklineError]:
    """Whether the documents are the messages that the API server reads, no field unknown."""
    try:
        json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        for document in documents[1:]:
            json_format.ParseDict(document, pipeline_spec_pb2.PlatformSpec())
            executors = document["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
            for executor in executors.values():
                json_format.ParseDict(executor, kubernetes.KubernetesExecutorConfig())
    except (json_format.ParseError, KeyError) as error:
        yield ConfigError("not a pipeline of Kubeflow", where=where, found=error)


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
