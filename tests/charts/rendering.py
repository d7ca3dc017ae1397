"""The chart rendered by Helm's own engine, without a cluster.

`.venv-charts/bin/python -m tests.charts.rendering` refreshes the golden files.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "trunkline"
GOLDEN = Path(__file__).parent / "golden"
DIGEST = "sha256:" + "ab" * 32
MINIMAL: dict[str, Any] = {
    "store": {"uri": "s3://bucket/trunkline"},
    "images": {
        "tracking": "registry.example/team/trunkline-registration:3f1c",
        "training": f"registry.example:5000/team/trunkline-pretraining:9a2b@{DIGEST}",
    },
}
EXTERNAL: dict[str, Any] = {  # a profile namespace: MLflow, database and Prometheus are elsewhere
    "store": {"endpoint": "http://minio-service.kubeflow:9000", "existingSecret": "store-credentials"},
    "mlflow": {"enabled": False, "externalUri": "http://trunkline-mlflow.kubeflow:5000"},
    "garbage": {"enabled": False},
}
FULL: dict[str, Any] = {
    "images": {
        "pipelines": f"registry.example/team/trunkline-pipelines@{DIGEST}", "pullSecrets": ["registry-login"],
    },
    "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/trunkline"}},
    "mlflow": {
        "replicas": 2, "maxReplicas": 5, "hosts": ["mlflow.internal:8443"],
        "ingress": {"host": "mlflow.example", "className": "nginx", "tlsSecret": "mlflow-tls",
                    "annotations": {"nginx.ingress.kubernetes.io/auth-url": "https://login.example/auth"}},
    },
    "database": {"host": "postgres.example", "port": 6432, "existingSecret": "database-login",
                 "sslMode": "verify-full"},
    "trainer": {
        "clusterWide": True, "nodeSelector": {"pool": "gpu"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "pipelines": {"role": "ClusterRole/kubeflow-edit", "multiUser": True, "cluster": "user: 1001"},
    "environment": {"PIP_INDEX_URL": "https://mirror.example/simple"},
    "presets": {"smoke": "pretraining:\n  steps: 7\n", "own": "registration: {name: own}\n"},
    "schedules": {"monthly": "preset: own\ncron: 0 3 1 * *\n"},
    "garbage": {"delete": True},
    "networkPolicy": {"clientNamespaces": ["team-a"], "storePorts": [443, 8333],
                      "extraEgress": [{"to": [{"ipBlock": {"cidr": "169.254.170.23/32"}}]}]},
    "quota": {"requests.nvidia.com/gpu": "16", "pods": "200"},
    "monitoring": {"enabled": True, "labels": {"release": "prometheus"}},
}  # fmt: skip
KIND: dict[str, Any] = yaml.safe_load((CHART / "kind.yaml").read_text())
TABLE = {"minimal": {}, "external": EXTERNAL, "full": FULL, "kind": KIND}


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


def objects(values: Mapping[str, Any], **options: str) -> list[dict[str, Any]]:
    """Every Kubernetes object of a release."""
    texts = [text for path, text in sorted(files(values, **options).items()) if path.endswith(".yaml")]
    return [found for text in texts for found in yaml.safe_load_all(text) if found]


def golden(values: Mapping[str, Any]) -> str:
    """All files of a release as one YAML, without presets, which change often, and the random password."""
    text = ""
    for path, body in sorted(files(values).items()):
        if path.endswith(".txt"):
            body = re.sub(r"^", "# ", body.strip(), flags=re.MULTILINE)
        text += f"---\n# {path}\n{body.strip().removeprefix('---').strip()}\n" if body.strip() else ""
    shipped = "|".join(path.stem for path in (CHART / "presets").glob("*.yaml"))
    text = re.sub(rf"^  ({shipped})\.yaml: \|\n(    .*\n|\n)+", "", text, flags=re.MULTILINE)
    text = re.sub(r'^(  password: )"\S+"$', r'\1"drawn at random"', text, flags=re.MULTILINE)
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def schema() -> dict[str, Any]:
    """values.schema.json."""
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found


def defaults() -> dict[str, Any]:
    """values.yaml."""
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for case, given in TABLE.items():
        (GOLDEN / f"{case}.yaml").write_text(golden(given))
