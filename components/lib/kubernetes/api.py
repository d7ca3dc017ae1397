"""Kubernetes client for TrainJobs and their pods, with our errors and with retries through an outage."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tenacity
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.lib.core import patience
from components.lib.core.errors import AccessError, ConfigError, MissingError, ServiceError
from components.lib.kubernetes.manifest import GROUP, PLURAL, VERSION

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
TIMEOUT = (5, 30)  # seconds to connect and to answer
WATCHED = 240  # seconds after which a watch is begun anew
OURS = "app.kubernetes.io/name=trunkline"
PASSING = (429, 500, 502, 503, 504)  # statuses of an API that is away for a while


class Cluster:
    """TrainJobs, pods and events of one namespace; an API that is silent for a while is asked again.

    Args:
        namespace: empty: that of this pod, or of the kubeconfig's context.
        outage: seconds for which one question is asked again; 0: as with every service.

    Raises:
        ConfigError: if there is neither a service account nor a kubeconfig.
    """

    def __init__(self, namespace: str = "", outage: float = 0.0) -> None:
        self.namespace, self.outage = _connect(namespace), outage or patience.seconds()
        self._custom, self._core = client.CustomObjectsApi(), client.CoreV1Api()

    def create(self, body: dict[str, Any]) -> bool:
        """False if there is one of that name."""
        return self._job(self._custom.create_namespaced_custom_object, body=body, none=(409,)) is not None

    def get(self, name: str) -> dict[str, Any] | None:
        """The TrainJob, None if there is none."""
        return self._job(self._custom.get_namespaced_custom_object, name=name, none=(404,))

    def delete(self, body: dict[str, Any], *, wait: bool = True) -> None:
        """Deletes this very TrainJob, not one that came after it, and waits until its pods are gone."""
        name, uid = body["metadata"]["name"], body["metadata"]["uid"]
        conditions = client.V1Preconditions(uid=uid)
        options = client.V1DeleteOptions(propagation_policy="Foreground", preconditions=conditions)
        self._job(self._custom.delete_namespaced_custom_object, name=name, body=options, none=(404, 409))
        end = time.monotonic() + self.outage
        while wait and (found := self.get(name)) is not None and found["metadata"]["uid"] == uid:
            if time.monotonic() > end:
                raise ServiceError("a TrainJob does not go away", where=f"{self.namespace}/{name}")
            time.sleep(0.5)

    def jobs(self, selector: str = OURS) -> list[dict[str, Any]]:
        """TrainJobs with these labels: without them, all that this project made; none without Trainer."""
        found = self._job(self._custom.list_namespaced_custom_object, label_selector=selector, none=(404,))
        return list(found["items"]) if found else []

    def watch(self, kind: str, selector: str = "") -> Iterator[tuple[str, Any]]:
        """("LISTED", all objects as they are), then each change ("ADDED", "MODIFIED", "DELETED") as it comes.

        Ends when the server ends it or it breaks off: the caller asks again.

        Args:
            kind: "pods" or "events"; objects are plain JSON.

        Raises:
            AccessError: if we have no right to see them.
        """
        call = getattr(self._core, {"pods": "list_namespaced_pod", "events": "list_namespaced_event"}[kind])
        raw: dict[str, Any] = {"label_selector": selector, "_preload_content": False}
        listed = json.loads(self._asked(call, **raw).data)
        yield "LISTED", listed["items"]
        raw |= {"watch": True, "resource_version": listed["metadata"].get("resourceVersion")}
        raw |= {"timeout_seconds": WATCHED, "_request_timeout": (5, WATCHED + 30)}
        try:
            for line in call(self.namespace, **raw):
                change = json.loads(line)
                if change["type"] == "ERROR":  # such as 410: it has forgotten that version
                    return
                yield change["type"], change["object"]
        except (ApiException, HTTPError, OSError, ValueError):
            return

    def first_pod(self, name: str) -> Any:
        """The newest pod of rank 0 of a TrainJob, or None."""
        labels = {
            "jobset.sigs.k8s.io/jobset-name": name,
            "jobset.sigs.k8s.io/replicatedjob-name": "node",
            "batch.kubernetes.io/job-completion-index": "0",
        }
        selector = ",".join(f"{key}={value}" for key, value in labels.items())
        pods = self._asked(self._core.list_namespaced_pod, label_selector=selector).items
        return max(pods, key=lambda pod: str(pod.metadata.creation_timestamp), default=None)

    def log(self, pod: str, seconds: int | None) -> Iterator[str]:
        """Lines, each with its time in front, of the last `seconds` and as they come; ends when it breaks.

        kubernetes.watch is not for logs: it reads one that has ended again from its start, for ever.

        Raises:
            AccessError: if we have no right to read it.
        """
        words = {"container": "node", "follow": True, "timestamps": True, "since_seconds": seconds}
        words |= {"_request_timeout": (5, 60), "_preload_content": False}
        try:
            for line in self._core.read_namespaced_pod_log(pod, self.namespace, **words):
                yield line.decode("utf-8", "replace").rstrip("\n")
        except (ApiException, HTTPError, OSError) as error:
            if getattr(error, "status", None) in (401, 403):
                raise _typed(error, self.namespace) from error
            return  # not there yet, gone, or cut off: the caller asks again

    def _job(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """An answer about a TrainJob."""
        return self._asked(call, group=GROUP, version=VERSION, plural=PLURAL, **arguments)

    def _asked(self, call: Callable[..., Any], none: tuple[int, ...] = (), **arguments: Any) -> Any:
        """The answer; None for the statuses `none`."""
        patient = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_passing),
            wait=tenacity.wait_exponential(multiplier=0.5, max=10.0),
            stop=tenacity.stop_after_delay(self.outage),
            reraise=True,
        )
        try:
            return patient(call, namespace=self.namespace, _request_timeout=TIMEOUT, **arguments)
        except ApiException as error:
            if error.status in none:
                return None
            raise _typed(error, self.namespace) from error
        except (HTTPError, OSError) as error:
            what = "the Kubernetes API does not answer"
            raise ServiceError(what, where=self.namespace, found=str(error)) from error


def _is_passing(error: BaseException) -> bool:
    if isinstance(error, ApiException):
        return error.status in PASSING
    return isinstance(error, HTTPError | OSError)


def _connect(namespace: str) -> str:
    """Loads the credentials of this pod, or a kubeconfig; returns the namespace."""
    if ACCOUNT.exists():
        config.load_incluster_config()
        return namespace or ACCOUNT.read_text().strip()
    try:
        path = os.environ.get("KUBECONFIG")  # the client itself looks only once
        config.load_kube_config(path)
        context = config.list_kube_config_contexts(path)[1]["context"]
    except config.ConfigException as error:
        what, where = "no Kubernetes cluster is known", "pretraining.launcher"
        fix = "run in a pod with a service account, set KUBECONFIG, or pretraining.launcher=local"
        raise ConfigError(what, where=where, found=str(error), fix=fix) from error
    return namespace or context.get("namespace", "default")


def _typed(error: ApiException, where: str) -> Exception:
    found = f"{error.status} {error.reason}: {error.body}"
    if error.status in (401, 403):
        fix = (
            "the account needs rights on trainjobs, pods, pods/log and events: see the chart's accounts.yaml"
        )
        return AccessError("Kubernetes refused the request", where=where, found=found, fix=fix)
    if error.status == 404:
        fix = "install Kubeflow Trainer 2.2 or newer"
        return MissingError("Kubernetes knows no TrainJobs", where=where, found=found, fix=fix)
    if error.status in (400, 422):
        return ConfigError("Kubernetes does not accept the TrainJob", where=where, found=found)
    return ServiceError("Kubernetes failed", where=where, found=found)
