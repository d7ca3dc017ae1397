"""Rows of acceptance before anything runs: versions, rights, secrets, storage, Trainer, what retries mean."""

from __future__ import annotations

import yaml
from kubernetes.client.exceptions import ApiException

from components.lib.core.errors import MissingError
from components.lib.kubernetes.manifest import GROUP, VERSION
from tests.acceptance.asking import Asking, NotAsked, expect

OURS = (
    "list workflows.argoproj.io",
    "list pods",
    "delete pods",
    "create pods",
    "create pods/exec",
    "get pods/log",
    "get configmaps",
)
TRAINER = f"list trainjobs.{GROUP}|create trainjobs.{GROUP}|delete trainjobs.{GROUP}".split("|")
OURS_OF_TRAINER = (TRAINER[0], TRAINER[2], f"list trainingruntimes.{GROUP}")
RUNS = ("list pods", "list workflows.argoproj.io", "list events", "get pods/log", *TRAINER)
NO_TRAINER = "there is no Trainer, or not our runtime"
MEANINGS = {"OnError": (True, False), "OnFailure": (False, True), "Always": (True, True)}


def versions(asking: Asking) -> str:
    """Of Kubernetes and of Kubeflow Pipelines."""
    kubernetes = asking.site.raw("GET", "/version")["gitVersion"]
    major, minor = kubernetes.lstrip("v").split(".")[:2]
    expect((int(major), int(minor)) >= (1, 31), "Kubernetes 1.31 or newer", kubernetes)
    try:
        pipelines = asking.site.config_map("pipeline-install-config", asking.site.home).get("appVersion", "?")
    except MissingError:
        pipelines = "not told"
    return f"Kubernetes {kubernetes}, Kubeflow Pipelines {pipelines}; runs in {asking.site.namespace}"


def rights(asking: Asking) -> str:
    """What we need to ask, and what the account of the runs needs to end well."""
    ours = [
        *OURS,
        *(["get secrets"] if asking.cluster.secrets else []),
        *(OURS_OF_TRAINER if asking.trainer else []),
    ]
    missing = [right for right in ours if _may(asking, right, "") is False]
    expect(not missing, "kubectl's user may do it", f"not {', '.join(missing)}")
    account = asking.inside.account or "default"
    wanted = RUNS if asking.trainer else RUNS[:2]
    answers = {right: _may(asking, right, account) for right in wanted}
    if None in answers.values():
        return f"ours are there; those of {account}: nobody tells us"
    missing = [right for right, allowed in answers.items() if not allowed]
    expect(not missing, f"the account {account} may do it", f"not {', '.join(missing)}")
    return f"ours, and those of {account}"


def _may(asking: Asking, right: str, account: str) -> bool | None:
    verb, what = right.split()
    resource, _, group = what.partition(".")
    return asking.site.may(verb, resource, group, account)


def secrets(asking: Asking) -> str:
    """Secrets and ConfigMaps that the cluster's file names, with their keys."""
    missing = []
    for kind, named in (("secret", asking.cluster.secrets), ("ConfigMap", asking.cluster.config_maps)):
        for name in named:
            try:
                read = asking.site.secret_keys if kind == "secret" else asking.site.config_map
                read(name)
            except MissingError as error:
                missing.append(f"{kind} {name} ({error.found})")
    expect(not missing, "secrets and ConfigMaps of the cluster's file", f"no {', '.join(missing)}")
    return ", ".join([*asking.cluster.secrets, *asking.cluster.config_maps]) or "the file names none"


def storage(asking: Asking) -> str:
    """The store and MLflow, asked from a pod."""
    if name := asking.cluster.scratch_class:
        try:
            asking.site.raw("GET", f"/apis/storage.k8s.io/v1/storageclasses/{name}")
        except ApiException as error:
            expect(error.status != 404, f"the storage class {name} of the cluster's file", "none")
    found = asking.inside.ask("health", asking.inside.store, asking.inside.tracking_uri)
    expect(found["conditional"], "a store that honours conditional writes", "it does not")
    asking.note()
    return (
        f"{asking.inside.root} honours conditions; MLflow {found['mlflow']} at {asking.inside.tracking_uri}"
    )


def trainer(asking: Asking) -> str:
    """Kubeflow Trainer and our runtime."""
    if not asking.trainer:
        raise NotAsked(NO_TRAINER if "trainer" in asking.failed else "TRAINER=1 asks it")
    kind, words = "trainingruntimes", {"group": GROUP, "version": VERSION}
    try:
        found = asking.site.custom.list_namespaced_custom_object(
            namespace=asking.site.namespace, plural=kind, **words
        )
    except ApiException as error:
        expect(False, "Kubeflow Trainer 2.2 or newer", f"{error.status} {error.reason}")
    names = [one["metadata"]["name"] for one in found["items"]]
    expect("trunkline-torch" in names, "the runtime trunkline-torch (the chart makes it)", names or "none")
    return "Trainer and the runtime trunkline-torch"


def retries(asking: Asking) -> str:
    """Which pods are made anew, by the defaults of Argo's controller."""
    try:
        values = asking.site.config_map("workflow-controller-configmap", asking.site.home)
    except MissingError as error:
        raise NotAsked(f"the controller's settings cannot be read: {error.found}") from error
    asking.again = dict(
        zip(("deleted", "failed"), again(values, asking.cluster.needs("pretraining").retries), strict=True)
    )
    words = {True: "are made anew", False: "are not made anew"}
    return "; ".join(f"pods that were {kind} {words[made]}" for kind, made in asking.again.items()).replace(
        "were failed", "failed"
    )


def again(values: dict[str, str], retries: int) -> tuple[bool, bool]:
    """Whether a pod is made anew that was deleted, and that failed.

    Args:
        values: of workflow-controller-configmap.
        retries: of the step itself, whose policy is Argo's own (OnFailure) where no default names another.
    """
    defaults = yaml.safe_load(values.get("workflowDefaults") or "") or {}
    spec = defaults.get("spec") or {}
    strategy = (spec.get("templateDefaults") or {}).get("retryStrategy") or spec.get("retryStrategy") or {}
    if not strategy and not retries:
        return False, False
    return MEANINGS.get(str(strategy.get("retryPolicy") or "OnFailure"), (False, False))


ROWS = {
    "versions": versions,
    "rights": rights,
    "secrets": secrets,
    "storage": storage,
    "trainer": trainer,
    "retries": retries,
}
