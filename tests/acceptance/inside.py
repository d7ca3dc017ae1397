"""The pod from which store and MLflow of a cluster are asked: an image of ours, as restricted as a stage."""

from __future__ import annotations

import functools
import json
import time
from pathlib import Path
from typing import Any

from kubernetes.client.exceptions import ApiException

from components.lib.core.errors import ConfigError, ServiceError
from images import contents
from pipelines.cluster import Cluster
from pipelines.resources import RENAMED
from tests.acceptance.cluster import TIMEOUT, Site

CODE = Path(__file__).with_name("probe.py")
NAME = "trunkline-acceptance-"
HOURS = 12  # after which Kubernetes ends it, whatever became of us
START, BLOCKED = (
    300.0,
    120.0,
)  # seconds that it may take to run; that a pod may wait for what somebody must mend
RUN = "import os; exec(compile(os.environ['PROBE'], 'probe', 'exec'))"


class Inside:
    """Asks by `exec` in one pod, which is made at the first question.

    Attributes:
        store: of these runs alone, beside the cluster's own.
    """

    def __init__(self, site: Site, cluster: Cluster, token: str, store: str, tracking_uri: str) -> None:
        self.site, self.cluster, self.name = site, cluster, f"{NAME}{token}"
        values = self._values()
        root, self.tracking_uri = (
            given or values.get(key, "")
            for given, key in ((store, "TRUNKLINE_STORE"), (tracking_uri, "MLFLOW_TRACKING_URI"))
        )
        for name, value in (("STORE", root), ("TRACKING_URI", self.tracking_uri)):
            if not value:
                fix = f"name the ConfigMap in the cluster's file, or give {name}=..."
                raise ConfigError("an address of the cluster is needed", where=name, fix=fix)
        self.root, self.store = root, f"{root.rstrip('/')}/{self.name}"
        self._made = False

    def ask(self, function: str, *arguments: Any) -> Any:
        """The answer of a function of probe.py."""
        self._ready()
        words = ["python", "-c", RUN, function, json.dumps(arguments)]
        said = self.site.execute(self.name, "main", words).strip()
        if not said:
            raise ServiceError("no answer comes from a pod", where=self.name, found=function)
        return json.loads(said.splitlines()[-1])

    def end(self) -> None:
        """Deletes the pod."""
        if self._made:
            self.site.delete_pod(self.name)
            self._made = False

    def _ready(self) -> None:
        if self._made:
            return
        self.site.create_pod(self._body())
        self._made, begun, said = True, time.monotonic(), ""
        while (waited := time.monotonic() - begun) < START:
            pod = self.site.pod(self.name)
            if pod.phase == "Running":
                return
            said = pod.text
            if pod.phase in ("Failed", "Succeeded") or (pod.stuck and waited > BLOCKED):
                break
            time.sleep(min(2.0, START / 100))
        raise ServiceError("a pod that asks store and MLflow does not start", where=self.name, found=said)

    def _values(self) -> dict[str, str]:
        """Of the ConfigMaps that the cluster's file names."""
        return {
            key: value
            for name, keys in self.cluster.config_maps.items()
            for key, value in self.site.config_map(name).items()
            if key in keys
        }

    @functools.cached_property
    def account(self) -> str:
        """As which runs go, so that an identity of the cloud is had here, too; empty: the default."""
        for name in filter(None, (self.cluster.service_account, "pipeline-runner", "default-editor")):
            try:
                self.site.core.read_namespaced_service_account(
                    name, self.site.namespace, _request_timeout=TIMEOUT
                )
                return name
            except ApiException:
                continue
        return ""

    def _variables(self) -> list[dict[str, Any]]:
        """Those of a stage, and the code of the answers."""
        given = {"PROBE": CODE.read_text(encoding="utf-8"), "HOME": "/tmp", "TRUNKLINE_CACHE": "/tmp/cache"}
        variables: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in given.items()]
        sources = {"secretKeyRef": self.cluster.secrets, "configMapKeyRef": self.cluster.config_maps}
        for source, named in sources.items():
            for name, keys in named.items():
                for key in keys:
                    taken = {source: {"name": name, "key": key, "optional": True}}
                    variables.append({"name": RENAMED.get(key, key), "valueFrom": taken})
        return variables

    def _body(self) -> dict[str, Any]:
        container = {
            "name": "main",
            "image": contents.name("closing", self.cluster.images),
            "command": ["python", "-c", f"import time; time.sleep({HOURS * 3600})"],
            "env": self._variables(),
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        }
        pool = self.cluster.pool("closing")
        spec = {
            **({"serviceAccountName": self.account} if self.account else {}),
            "containers": [container],
            "restartPolicy": "Never",
            "activeDeadlineSeconds": HOURS * 3600,
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "imagePullSecrets": [{"name": name} for name in self.cluster.image_pull_secrets],
            "nodeSelector": dict(pool.node_selector),
            "tolerations": [{k: v for k, v in vars(one).items() if v} for one in pool.tolerations],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": self.cluster.user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
        labels = {"app.kubernetes.io/name": NAME.rstrip("-"), "sidecar.istio.io/inject": "false"}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": self.name, "labels": labels},
            "spec": spec,
        }
