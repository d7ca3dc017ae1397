"""The Pod Security Standard `restricted`, and what we ask beyond it, as a list of complaints.

https://kubernetes.io/docs/concepts/security/pod-security-standards/ (of Kubernetes 1.34)
"""

from collections.abc import Iterator
from typing import Any

VOLUMES = {*"configMap csi downwardAPI emptyDir ephemeral persistentVolumeClaim projected secret".split()}
PROFILES = ("RuntimeDefault", "Localhost")
HOST = ("hostNetwork", "hostPID", "hostIPC", "hostUsers")


def pods(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's metadata and spec inside an object, wherever its template stands."""
    if isinstance(value, dict):
        if isinstance(value.get("spec"), dict) and "containers" in value["spec"]:
            yield path, value
        for key, inner in value.items():
            yield from pods(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from pods(inner, f"{path}[{index}]")


def complaints(spec: dict[str, Any]) -> list[str]:
    """What a pod's spec breaks."""
    return [*_standard(spec), *_beyond(spec)]


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """All of them, in whichever phase of the pod they run."""
    return [c for kind in ("initContainers", "containers", "ephemeralContainers") for c in spec.get(kind, [])]


def _standard(spec: dict[str, Any]) -> Iterator[str]:
    yield from (f"{name} is set" for name in HOST if spec.get(name))
    if spec.get("securityContext", {}).get("sysctls"):
        yield "sysctls are set"
    for volume in spec.get("volumes", []):
        if set(volume) - {"name"} - VOLUMES:
            yield f"volume {volume['name']} is of a kind that is not allowed"
    for container in containers(spec):
        both = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
        broken = {
            "is privileged": both.get("privileged"),
            "may escalate privileges": both.get("allowPrivilegeEscalation") is not False,
            "may run as root": not both.get("runAsNonRoot") or both.get("runAsUser") == 0,
            "has no seccomp profile": both.get("seccompProfile", {}).get("type") not in PROFILES,
            "keeps capabilities": both.get("capabilities", {}).get("drop") != ["ALL"],
            "adds capabilities": set(both.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"},
            "sees all of /proc": both.get("procMount", "Default") != "Default",
            "listens on the host": any(port.get("hostPort") for port in container.get("ports", [])),
        }
        yield from (f"{container['name']} {what}" for what, found in broken.items() if found)


def _beyond(spec: dict[str, Any]) -> Iterator[str]:
    """Not of the standard: what an attacker inside would miss."""
    if spec.get("automountServiceAccountToken") is not False:
        yield "a token of the Kubernetes API is mounted"
    if spec.get("serviceAccountName") in (None, "default"):
        yield "no account of its own"
    writable = {volume["name"] for volume in spec.get("volumes", []) if "emptyDir" in volume}
    if any("sizeLimit" not in v["emptyDir"] for v in spec.get("volumes", []) if "emptyDir" in v):
        yield "a scratch volume has no limit"
    for container in containers(spec):
        name, resources = container["name"], container.get("resources", {})
        if not container.get("securityContext", {}).get("readOnlyRootFilesystem"):
            yield f"{name} can write to its root"
        if not {m["name"] for m in container.get("volumeMounts", []) if m["mountPath"] == "/tmp"} & writable:
            yield f"{name} has no place for temporary files"
        asked, most = (resources.get(kind, {}) for kind in ("requests", "limits"))
        if not {"cpu", "memory"} <= asked.keys() or "memory" not in most:
            yield f"{name} does not say what it needs"
        if ":latest" in container["image"] or ":" not in container["image"].rpartition("/")[2]:
            yield f"{name} runs whichever image is there"
