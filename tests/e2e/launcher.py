"""A step as Kubeflow Pipelines starts it: the compiled command, in its image, with the mounts of a pod."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.architecture.imports import ROOT
from tests.e2e.servers import RESTRICTED, docker

ROOT_URI = "minio://mlpipeline/v2/artifacts"  # the default of a standalone Kubeflow Pipelines


class Launcher:
    """Steps of the training graph as the file `kind` of pipelines/clusters places them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        spec, platform = yaml.safe_load_all(compiled(folder / "build", TRUNKLINE_CLUSTER="kind"))
        self.executors = spec["deploymentSpec"]["executors"]
        self.settings = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.components = spec["components"]

    def run(self, step: str, parameters: dict[str, Any], variables: dict[str, str]) -> Path:
        """Runs one step with variables from ConfigMap and Secret; returns the folder of its outputs."""
        outputs = self.folder / step
        for name in ("kfp", "minio"):
            (outputs / name).mkdir(parents=True)
            (outputs / name).chmod(0o777)  # as an emptyDir
        container, settings = self.executors[f"exec-{step}"]["container"], self.settings[f"exec-{step}"]
        sources = [one for kind in ("secretAsEnv", "configMapAsEnv") for one in settings[kind]]
        named = {entry["envVar"] for one in sources for entry in one["keyToEnv"]}
        given = {name: value for name, value in variables.items() if name in named}
        given |= {entry["name"]: entry["value"] for entry in container["env"]}
        words = [word for name, value in given.items() for word in ("--env", f"{name}={value}")]
        for mount in settings["emptyDirMounts"]:
            words += ["--tmpfs", f"{mount['mountPath']}:mode=1777"]
        words += ["--volume", f"{outputs}/kfp:/tmp/kfp", "--volume", f"{outputs}/minio:/minio"]
        words += ["--memory", container["resources"]["resourceMemoryLimit"].removesuffix("i")]
        told = json.dumps(self._input(step, parameters))
        arguments = [told if word == "{{$}}" else word for word in container["args"]]
        command, *rest = container["command"]
        words += ["--entrypoint", command, container["image"], *rest, *arguments]
        docker("run", "--rm", "--network", "host", *RESTRICTED, *words)
        return outputs

    def _input(self, step: str, parameters: dict[str, Any]) -> dict[str, Any]:
        defined = self.components[f"comp-{step}"].get("outputDefinitions", {})
        files = {name: {"outputFile": f"/tmp/kfp/outputs/{name}"} for name in defined.get("parameters", {})}
        artifacts = {}
        for name, one in defined.get("artifacts", {}).items():
            place = {"name": name, "uri": f"{ROOT_URI}/training/1/{step}/{name}", "metadata": {}}
            artifacts[name] = {"artifacts": [{**place, "type": one["artifactType"]}]}
        outputs = {"parameters": files, "artifacts": artifacts, "outputFile": "/tmp/kfp/output_metadata.json"}
        return {"inputs": {"parameterValues": parameters}, "outputs": outputs}


def compiled(folder: Path, **variables: str) -> str:
    """The training pipeline as a checkout compiles it for a cluster."""
    environment = {name: value for name, value in os.environ.items() if name != "TRUNKLINE_LOCAL"}
    command = [sys.executable, "-m", "pipelines.compile", str(folder), "training"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**environment, **variables})
    return (folder / "training.yaml").read_text()
