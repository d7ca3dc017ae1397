"""Kubernetes behind kubectl's context: pods and TrainJobs of a run, programs in a pod, rights."""

from __future__ import annotations

import json
import os
from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream
from websocket import WebSocketException

from components import STAGES
from components.lib.core.errors import MissingError, ServiceError
from components.lib.kubernetes import pods
from components.lib.kubernetes.manifest import GROUP, PLURAL, VERSION
from components.lib.kubernetes.pods import PodState

RUN = "pipeline/runid"  # KFP's label of a Workflow
WORKFLOW, STAGE = "workflows.argoproj.io/workflow", "app.kubernetes.io/component"  # of a pod: Argo's, ours
NODE = "workflows.argoproj.io/node-name"  # Argo's annotation, such as training-x.root.run.pretrain.executor
JOB = "jobset.sigs.k8s.io/jobset-name"
TIMEOUT = (5, 60)
ANSWER = 600  # seconds that a program in a pod may take: patience with a store that is away
LIVE = ("Pending", "Running")
# Ends the Python of a stage unheard; the programs of Argo and KFP above it name it in their words, too.
KILL = """
import os
for name in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{name}/cmdline", "rb").read().split(b"\\0")
    except OSError:
        continue
    if b"python" in words[0] and any(b"executor_main" in word for word in words) and int(name) != os.getpid():
        print(name)
        os.kill(int(name), 9)
"""


class Site:
    """One namespace, in which runs have their pods.

    Attributes:
        home: the namespace of Kubeflow Pipelines itself.

    Raises:
        ConfigException: if there is no kubeconfig.
    """

    def __init__(self) -> None:
        self.kubeconfig = path = os.environ.get("KUBECONFIG")
        self.api = config.new_client_from_config(path)
        self.core, self.custom = client.CoreV1Api(self.api), client.CustomObjectsApi(self.api)
        context = config.list_kube_config_contexts(path)[1]["context"]
        named, own = os.environ.get("KF_PIPELINES_NAMESPACE", ""), context.get("namespace", "default")
        self.home = self._pipelines() or named or own
        self.namespace = named or self.home
        self._workflows: dict[str, str] = {}

    def _pipelines(self) -> str:
        """Where Kubeflow Pipelines is: its runs, too, if it has no users; empty if that is not to be seen."""
        try:
            words = {"field_selector": "metadata.name=ml-pipeline", "_request_timeout": TIMEOUT}
            found = self.core.list_service_for_all_namespaces(**words).items
        except ApiException:
            return ""
        return str(found[0].metadata.namespace) if found else ""

    def pods(self, selector: str) -> list[Any]:
        """Pods by their labels, oldest first."""
        found = self.core.list_namespaced_pod(
            self.namespace, label_selector=selector, _request_timeout=TIMEOUT
        )
        return sorted(found.items, key=lambda pod: str(pod.metadata.creation_timestamp))

    def of_run(self, run_id: str, stage: str = "") -> list[Any]:
        """Pods of a run, or of one of its stages, oldest first."""
        if run_id not in self._workflows:
            place = {"group": "argoproj.io", "version": "v1alpha1", "plural": "workflows"}
            words = {"label_selector": f"{RUN}={run_id}", "_request_timeout": TIMEOUT}
            found = self.custom.list_namespaced_custom_object(namespace=self.namespace, **place, **words)
            if not found["items"]:
                return []
            self._workflows[run_id] = found["items"][0]["metadata"]["name"]
        found = self.pods(f"{WORKFLOW}={self._workflows[run_id]}")
        return [pod for pod in found if not stage or stage_of(pod) == stage]

    def step(self, run_id: str, stage: str) -> Any:
        """The newest pod of a stage of a run, or None."""
        return next(reversed(self.of_run(run_id, stage)), None)

    def create_pod(self, body: dict[str, Any]) -> None:
        """Makes a pod, unless there is one of that name."""
        try:
            self.core.create_namespaced_pod(self.namespace, body, _request_timeout=TIMEOUT)
        except ApiException as error:
            if error.status != 409:
                raise

    def pod(self, name: str) -> PodState:
        """What a pod's status says."""
        return self.read(self.core.read_namespaced_pod(name, self.namespace, _request_timeout=TIMEOUT))

    def read(self, pod: Any) -> PodState:
        """The same of an answer of the client."""
        return pods.read(self.api.sanitize_for_serialization(pod))

    def acceptances(self) -> list[str]:
        """Names and times of the pods of acceptances, which may be others that are asked just now."""
        found = self.pods("app.kubernetes.io/name=trunkline-acceptance")
        return [f"{one.metadata.name} since {one.metadata.creation_timestamp}" for one in found]

    def trainjobs(self, run_id: str) -> list[dict[str, Any]]:
        """TrainJobs that a run has made; none where Trainer is not installed."""
        words = {"group": GROUP, "version": VERSION, "plural": PLURAL, "_request_timeout": TIMEOUT}
        try:
            found = self.custom.list_namespaced_custom_object(namespace=self.namespace, **words)["items"]
        except ApiException as error:
            if error.status == 404:
                return []
            raise
        return [one for one in found if _annotations(one).get("trunkline.run") == run_id]

    def running(self, run_id: str, jobs: set[str]) -> list[str]:
        """Names of what still runs, or waits to, for a run whose TrainJobs were called so."""
        left = [f"TrainJob {one['metadata']['name']}" for one in self.trainjobs(run_id)]
        there = self.of_run(run_id) + [pod for job in jobs for pod in self.pods(f"{JOB}={job}")]
        return left + [f"pod {pod.metadata.name}" for pod in there if pod.status.phase in LIVE]

    def delete_pod(self, name: str) -> None:
        """At once, without grace."""
        self.core.delete_namespaced_pod(
            name, self.namespace, grace_period_seconds=0, _request_timeout=TIMEOUT
        )

    def delete_trainjob(self, name: str) -> None:
        """Deletes it, and its pods after it."""
        words = {"group": GROUP, "version": VERSION, "plural": PLURAL, "name": name}
        self.custom.delete_namespaced_custom_object(namespace=self.namespace, **words)

    def log(self, pod: str, container: str) -> str:
        """What a container has said; empty while it has not begun."""
        try:
            words = {"container": container, "_request_timeout": TIMEOUT, "_preload_content": False}
            return self.core.read_namespaced_pod_log(pod, self.namespace, **words).data.decode(
                "utf-8", "replace"
            )
        except ApiException as error:
            if error.status in (400, 404):
                return ""
            raise

    def execute(self, pod: str, container: str, words: list[str]) -> str:
        """Output of a program in a container, as by `kubectl exec`.

        Raises:
            ServiceError: if it fails; a pod that has ended, or a right that is missing, as well.
        """
        how = {"stderr": True, "stdout": True, "stdin": False, "tty": False, "_preload_content": False}
        call = client.CoreV1Api(config.new_client_from_config(self.kubeconfig))
        where = f"{self.namespace}/{pod}"
        answer = None
        try:
            answer = stream(
                call.connect_get_namespaced_pod_exec,
                pod,
                self.namespace,
                container=container,
                command=words,
                **how,
            )
            answer.run_forever(timeout=ANSWER)
            output, said, code = answer.read_stdout(), answer.read_stderr(), _code(answer)
        except (ApiException, WebSocketException, OSError) as error:
            found = getattr(error, "reason", "") or error
            raise ServiceError("no program can be run in a pod", where=where, found=found) from error
        finally:
            if answer is not None:
                answer.sock.shutdown()  # its close() leaves a socket open that the server has closed
        if code:
            found = f"exit code {code}: {(said or output).strip()[-600:]}"
            raise ServiceError("a program in a pod failed", where=where, found=found)
        return str(output)

    def kill(self, pod: str) -> None:
        """Kills the Python of a stage (kill -9).

        Raises:
            ServiceError: if there is none.
        """
        if not self.execute(pod, "main", ["python", "-c", KILL]).strip():
            raise ServiceError("no Python of a stage was found to be killed", where=f"{self.namespace}/{pod}")

    def config_map(self, name: str, namespace: str = "") -> dict[str, str]:
        """Values of a ConfigMap.

        Raises:
            MissingError: if there is none.
        """
        return dict(self._read("config_map", name, namespace).data or {})

    def secret_keys(self, name: str) -> list[str]:
        """Keys of a Secret; its values are not looked at."""
        return list(self._read("secret", name, "").data or {})

    def _read(self, kind: str, name: str, namespace: str) -> Any:
        try:
            read = getattr(self.core, f"read_namespaced_{kind}")
            return read(name, namespace or self.namespace, _request_timeout=TIMEOUT)
        except ApiException as error:
            where = f"{namespace or self.namespace}/{name}"
            raise MissingError(f"no {kind} can be read", where=where, found=error.reason) from error

    def may(self, verb: str, resource: str, group: str = "", account: str = "") -> bool | None:
        """Whether we, or an account of the namespace, may do it; None where nobody answers that."""
        kind, _, part = resource.partition("/")
        asked = {"namespace": self.namespace, "verb": verb, "group": group, "resource": kind}
        spec: dict[str, Any] = {"resourceAttributes": {**asked, **({"subresource": part} if part else {})}}
        if account:
            spec["user"] = f"system:serviceaccount:{self.namespace}:{account}"
            spec["groups"] = ["system:serviceaccounts", f"system:serviceaccounts:{self.namespace}"]
        name = "SubjectAccessReview" if account else "SelfSubjectAccessReview"
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": name, "metadata": {}, "spec": spec}
        path = f"/apis/authorization.k8s.io/v1/{name.lower()}s"
        try:
            return bool(self.raw("POST", path, body)["status"]["allowed"])
        except ApiException:
            return None

    def raw(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to one request, as JSON."""
        answer = self.api.call_api(
            path,
            method,
            body=body,
            auth_settings=["BearerToken"],
            header_params={"Content-Type": "application/json"},
            _preload_content=False,
            _request_timeout=TIMEOUT,
        )
        return json.loads(answer[0].data)


def stage_of(pod: Any) -> str:
    """The stage that a pod runs: our label, else from Argo's path of the task; empty of a driver."""
    label = (pod.metadata.labels or {}).get(STAGE, "")
    path = (pod.metadata.annotations or {}).get(NODE, "").split(".")
    task = path[-2] if len(path) > 1 and path[-1].startswith("executor") else ""
    return (
        label
        if label in STAGES
        else next((name for name in STAGES if task and task.startswith(name[:4])), "")
    )


def _code(answer: Any) -> int | None:
    """How a program ended; None if the connection broke off, as where its container ends with it."""
    try:
        return answer.returncode
    except TypeError:
        return None


def _annotations(body: dict[str, Any]) -> dict[str, str]:
    return body["metadata"].get("annotations") or {}
