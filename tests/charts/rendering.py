"""The chart rendered by Helm's own engine, without a cluster.

`.venv-charts/bin/python -m tests.charts.rendering` refreshes the golden files.
"""

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "trunkline"
GOLDEN = Path(__file__).parent / "golden" / "full.yaml"
DIGEST = "sha256:" + "ab" * 32
MINIMAL: dict[str, Any] = {
    "store": {"uri": "s3://bucket/trunkline"},
    "images": {
        "tracking": "registry.example/team/trunkline-registration:3f1c",
        "training": f"registry.example:5000/team/trunkline-pretraining:9a2b@{DIGEST}",
    },
}
ELSEWHERE = {"host": "postgres.example", "port": 6432, "existingSecret": "login", "sslMode": "verify-full"}
STORE = {"endpoint": "http://seaweedfs.kubeflow:9000", "existingSecret": "store-credentials"}
EXTERNAL: dict[str, Any] = {  # a profile namespace: MLflow, database and Prometheus are elsewhere
    "store": STORE,
    "mlflow": {"enabled": False, "externalUri": "http://trunkline-mlflow.kubeflow:5000"},
    "garbage": {"enabled": False},
}
FULL: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "full.yaml").read_text())
KIND: dict[str, Any] = yaml.safe_load((CHART / "kind.yaml").read_text())
DATABASE: dict[str, Any] = {"database": ELSEWHERE}
TABLE = {"minimal": {}, "external": EXTERNAL, "full": FULL, "kind": KIND, "database": DATABASE}


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Values laid over one another, as `helm -f a -f b` does."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            inside = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
            result[key] = merged(result[key], value) if inside else copy.deepcopy(value)
    return result


def files(
    values: Mapping[str, Any], *, name: str = "trunkline", namespace: str = "kubeflow"
) -> dict[str, str]:
    """Template -> what it renders to; the chart is loaded anew, as Helm's library keeps some state."""
    from helm_python import Chart

    with Chart.load(str(CHART)) as chart:
        rendered: dict[str, str] = chart.render(
            values=merged(MINIMAL, values), name=name, namespace=namespace
        )
    return {path.removeprefix("trunkline/templates/"): text for path, text in rendered.items()}


class Reader(yaml.SafeLoader):
    """As Kubernetes reads YAML: a plain '=' is text, of which YAML 1.1 makes a type that PyYAML lacks."""


Reader.add_constructor("tag:yaml.org,2002:value", Reader.construct_yaml_str)


def objects(values: Mapping[str, Any], **options: str) -> list[dict[str, Any]]:
    """Every Kubernetes object of a release."""
    texts = [text for path, text in sorted(files(values, **options).items()) if path.endswith(".yaml")]
    return [found for text in texts for found in yaml.load_all(text, Reader) if found]


def named(found: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """One object of a release."""
    return next(one for one in found if one["kind"] == kind and one["metadata"]["name"] == name)


def golden() -> str:
    """All files of the full release as one YAML, but for what stands in files of its own or is random."""
    text = ""
    for path, body in sorted(files(FULL).items()):
        if path.endswith(".txt"):
            body = re.sub(r"^", "# ", body.strip(), flags=re.MULTILINE)
        text += f"---\n# {path}\n{body.strip().removeprefix('---').strip()}\n" if body.strip() else ""
    shipped = "|".join(path.stem for path in (CHART / "presets").glob("*.yaml"))
    text = re.sub(rf"^  ({shipped})\.yaml: \|\n(    .*\n|\n)+", "", text, flags=re.MULTILINE)
    text = re.sub(r"^  trunkline\.json: \|\n(    .*\n|\n)+", "", text, flags=re.MULTILINE)
    usual = r"^    helm.sh/chart: .*\n(    app.kubernetes.io/.*\n)+(?=    app.kubernetes.io/component)"
    text = re.sub(usual, "    # and those of every object\n", text, flags=re.MULTILINE)
    text = re.sub(r'^(  password: )"\S+"$', r'\1"drawn at random"', text, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def server() -> dict[str, Any]:
    """The pod of MLflow in the golden file, for those who have no Helm."""
    found = [one for one in yaml.safe_load_all(GOLDEN.read_text()) if one]
    pod: dict[str, Any] = named(found, "Deployment", "trunkline-mlflow")["spec"]["template"]["spec"]
    return pod


def schema() -> dict[str, Any]:
    """values.schema.json, its definitions put where they are named."""
    found = json.loads((CHART / "values.schema.json").read_text())
    definitions = found.pop("definitions")

    def inlined(node: Any) -> Any:
        if isinstance(node, list):
            return [inlined(inner) for inner in node]
        if not isinstance(node, dict):
            return node
        base = definitions[node["$ref"].rpartition("/")[2]] if "$ref" in node else {}
        return {key: inlined(value) for key, value in {**base, **node}.items() if key != "$ref"}

    return dict(inlined(found))


def defaults() -> dict[str, Any]:
    """values.yaml."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


if __name__ == "__main__":
    GOLDEN.write_text(golden())
