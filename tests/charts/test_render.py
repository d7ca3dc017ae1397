import copy
import json
import tarfile

import pytest
import yaml
from helm_python import HelmError

from tests.charts import restricted
from tests.charts.rendering import (
    CHART,
    FULL,
    GOLDEN,
    KIND,
    MINIMAL,
    ROOT,
    TABLE,
    files,
    golden,
    merged,
    named,
    objects,
)

PODS = {"Deployment", "StatefulSet", "Job", "CronJob", "TrainingRuntime", "ClusterTrainingRuntime"}


def test_what_is_rendered_changes_only_on_purpose():
    fix = "read the difference, then: .venv-charts/bin/python -m tests.charts.rendering"
    assert golden() == GOLDEN.read_text(), fix


@pytest.mark.parametrize("case", TABLE)
def test_every_pod_is_restricted(case):
    found = {o["kind"]: list(restricted.pods(o)) for o in objects(TABLE[case])}
    assert {kind for kind, pods in found.items() if pods} == set(found) & PODS
    for pods in found.values():
        for path, pod in pods:
            assert restricted.complaints(pod["spec"]) == [], path


def test_no_pod_gets_a_proxy_of_istio():
    pods = [pod for case in TABLE.values() for found in objects(case) for _, pod in restricted.pods(found)]
    assert len(pods) > 8
    assert all(pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false" for pod in pods)


BREAKS = {
    "may escalate": lambda c, s: c["securityContext"].pop("allowPrivilegeEscalation"),
    "run as root": lambda c, s: s["securityContext"].update(runAsUser=0),
    "seccomp": lambda c, s: s["securityContext"].pop("seccompProfile"),
    "capabilities": lambda c, s: c["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
    "privileged": lambda c, s: c["securityContext"].update(privileged=True),
    "write to its root": lambda c, s: c["securityContext"].update(readOnlyRootFilesystem=False),
    "not allowed": lambda c, s: s["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    "hostNetwork": lambda c, s: s.update(hostNetwork=True),
    "token": lambda c, s: s.pop("automountServiceAccountToken"),
    "whichever image": lambda c, s: c.update(image="mlflow"),
    "what it needs": lambda c, s: c["resources"].pop("limits"),
}


@pytest.mark.parametrize("complaint", BREAKS)
def test_the_checker_checks(complaint):
    spec = copy.deepcopy(named(objects({}), "Deployment", "trunkline-mlflow")["spec"]["template"]["spec"])
    assert restricted.complaints(spec) == []
    BREAKS[complaint](spec["containers"][0], spec)
    assert any(complaint in found for found in restricted.complaints(spec))


REFUSED = [
    ({"store": {"uri": ""}}, "store.uri is empty: --set store.uri="),
    ({"images": {"tracking": ""}}, "images.tracking is empty: build and push"),
    ({"images": {"tracking": "mlflow:latest"}}, "images"),
    ({"images": {"training": "registry.example/x"}}, "images"),
    ({"serving": {"models": [{"name": "a"}]}}, "images.serving is empty"),
    ({"serving": {"models": [{"alias": "champion"}]}}, "name"),
    ({"serving": {"models": [{"name": "A/b"}]}}, "pattern"),
    ({"schedules": {"a": "x"}, "pipelines": {"cluster": "images: x"}}, "images.pipelines is empty"),
    ({"schedules": {"a": "x"}}, "--set-file pipelines.cluster"),
    ({"mlflow": {"enabled": False}}, "--set mlflow.externalUri="),
    ({"database": {"host": "db"}}, "database.host needs database.existingSecret"),
    ({"mlflow": {"ingress": {"host": "mlflow.example"}}}, "is not to be reached without TLS"),
    ({"mlflow": {"replicsa": 2}}, "replicsa"),
    ({"mlflow": {"replicas": 0}}, "minimum"),
    ({"store": {"uri": "/mnt/store"}}, "pattern"),
    ({"garbage": {"keepDays": 0}}, "minimum"),
    ({"database": {"name": "a; drop table"}}, "pattern"),
    ({"pipelines": {"serviceAccounts": []}}, "minItems"),
]


@pytest.mark.parametrize(("values", "text"), REFUSED, ids=[text for _, text in REFUSED])
def test_wrong_values_are_refused_with_the_fix(values, text):
    with pytest.raises(HelmError) as caught:
        files(values)
    assert text in str(caught.value)


def test_helm_has_nothing_to_complain_about():
    from helm_python import lint

    report = lint(str(CHART), merged(MINIMAL, FULL), strict=True)
    assert [message for message in report["messages"] if message["severity"] >= 2] == []


def test_whatever_selects_finds_pods():
    """Selectors of services, budgets, policies and monitors, against the labels of the pods."""
    for values in TABLE.values():
        found = objects(values)
        pods = [p["metadata"]["labels"] for o in found for _, p in restricted.pods(o)]
        for item in found:
            spec = item.get("spec", {})
            selector = spec.get("podSelector") or spec.get("selector") or {}
            labels = selector.get("matchLabels", selector if item["kind"] == "Service" else None)
            if labels is None:
                continue
            chosen = [p for p in pods if labels.items() <= p.items()]
            for rule in selector.get("matchExpressions", []):
                chosen = [p for p in chosen if p[rule["key"]] in rule["values"]]
            if item["kind"] == "ServiceMonitor":
                chosen = [o for o in found if o["kind"] == "Service"]
            assert chosen, f"{item['kind']} {item['metadata']['name']} selects nothing"


def test_every_pod_is_denied_by_default():
    for values in TABLE.values():
        found = objects(values)
        deny = named(found, "NetworkPolicy", "trunkline-deny")["spec"]
        assert deny["policyTypes"] == ["Ingress", "Egress"] and "ingress" not in deny and "egress" not in deny
        for item in found:
            for _, pod in restricted.pods(item):
                assert deny["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


KFP = "pipelines.kubeflow.org"  # whose objects are Kubeflow Pipelines' own


def test_names_are_resolved_wherever_the_node_does_it_and_metadata_are_not_read():
    """Resolvers on the node have no namespace by which they could be allowed (tektoncd/operator 4000)."""
    for values in TABLE.values():
        policies = [item for item in objects(values) if item["kind"] == "NetworkPolicy"]
        names = named(policies, "NetworkPolicy", "trunkline-names")["spec"]["egress"][0]
        blocks = {peer["ipBlock"]["cidr"] for peer in names["to"] if "ipBlock" in peer}
        assert blocks == {"169.254.20.10/32", "169.254.169.254/32"}
        assert {port["port"] for port in names["ports"]} == {53}
        (store,) = named(policies, "NetworkPolicy", "trunkline-store")["spec"]["egress"][:1]
        assert "169.254.0.0/16" in store["to"][0]["ipBlock"]["except"]


def test_rights_are_few():
    found = objects(FULL)
    for item in found:
        for rule in item.get("rules", []) if "Role" in item["kind"] else []:
            assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
            assert not {"secrets", "pods/exec", "roles", "serviceaccounts"} & set(rule["resources"])
            changed = {"create", "patch", "update", "delete"} & set(rule["verbs"])
            assert not changed or rule["resources"] == ["trainjobs"] or rule["apiGroups"] == [KFP]
    bound = named(found, "RoleBinding", "trunkline-launcher")["subjects"]
    assert [s["name"] for s in bound] == ["pipeline-runner", "default-editor", "trunkline"]


def test_the_last_schedule_goes_too():
    """Without one the Job still applies the folder, which is empty then."""
    values = {key: value for key, value in FULL.items() if key != "schedules"}
    found = objects(values)
    assert "data" not in named(found, "ConfigMap", "trunkline-schedule")
    mounted = named(found, "Job", "trunkline-schedule")["spec"]["template"]["spec"]
    assert {"name": "schedules", "configMap": {"name": "trunkline-schedule"}} in mounted["volumes"]
    for kind in ("ServiceAccount", "Role", "RoleBinding", "NetworkPolicy"):
        named(found, kind, "trunkline-schedule")
    assert not [item for item in objects({}) if item["metadata"]["name"].endswith("-schedule")]


def test_names_that_are_used_exist():
    """Accounts, secrets and config maps, of this release or of the values."""
    given = {"registry-login", "login", "mlflow-tls", "store-credentials", "trunkline"} | {"kube-root-ca.crt"}
    for values in TABLE.values():
        found = objects(values)
        have = {(o["kind"], o["metadata"]["name"]) for o in found}
        for item in found:
            for _, pod in restricted.pods(item):
                spec = pod["spec"]
                assert ("ServiceAccount", spec["serviceAccountName"]) in have
                kinds = {"secretName": "Secret", "secretKeyRef": "Secret", "configMap": "ConfigMap"}
                for key, kind in kinds.items():
                    for name in references(spec, key):
                        assert (kind, name) in have or name in given, spec


def test_the_small_cluster_and_its_values_and_commands_fit_together():
    """charts/trunkline/kind.yaml, pipelines/clusters/kind.yaml and the README name the same things."""
    cluster = yaml.safe_load((ROOT / "pipelines" / "clusters" / "kind.yaml").read_text())
    secret = KIND["store"]["existingSecret"]
    (made,) = [o for o in objects(KIND) if o["kind"] == "ConfigMap" and o["metadata"]["name"] == "trunkline"]
    assert set(made["data"]) <= set(cluster["config_maps"]["trunkline"])
    assert cluster["presets"] == "trunkline-presets" and list(cluster["secrets"]) == [secret]
    text = (CHART / "README.md").read_text()
    commands = text.partition("## From nothing")[2].split("```")[1]
    words = ["charts/trunkline/kind.yaml", "charts/trunkline", "build/images.yaml", "svc/trunkline-mlflow"]
    words += [f"create secret generic {secret} ", *(f"literal={k}=" for k in cluster["secrets"][secret])]
    assert [word for word in words if word not in commands] == []
    assert named(objects(KIND), "Service", "trunkline-mlflow")["spec"]["ports"][0]["port"] == 5000


def references(value, key):
    if isinstance(value, dict):
        inner = value.get(key)
        yield from [inner] if isinstance(inner, str) else [inner["name"]] if isinstance(inner, dict) else []
        for one in value.values():
            yield from references(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from references(one, key)


def test_a_release_of_another_name_and_place():
    found = objects({}, name="models", namespace="team-a")
    assert {o["metadata"].get("namespace", "team-a") for o in found} == {"team-a"}
    names = {o["metadata"]["name"] for o in found} - {"trunkline-torch"}
    assert all(name.startswith("models-trunkline") for name in names)
    assert "http://models-trunkline-mlflow.team-a:5000" in json.dumps(found)


def test_presets_of_the_values_are_files():
    """Those of the repository are in the images, and a step looks there last."""
    data = named(objects(FULL), "ConfigMap", "trunkline-presets")["data"]
    assert set(data) == {"smoke.yaml", "own.yaml"} and data["own.yaml"].startswith("registration:")
    assert data["smoke.yaml"] == "pretraining:\n  steps: 7\n".rstrip() + "\n"


def test_no_secret_stands_in_a_manifest():
    text = json.dumps([o for o in objects(FULL) if o["kind"] != "Secret"]).lower()
    assert "password@" not in text and 'aws_secret_access_key", "value"' not in text
    drawn, again = (named(objects({}), "Secret", "trunkline-postgresql")["data"]["password"] for _ in "ab")
    assert len(drawn) >= 40 and drawn != again


def test_the_example_of_a_cluster_names_what_the_chart_makes():
    cluster = yaml.safe_load((ROOT / "pipelines" / "clusters" / "nvidia.yaml").read_text())
    links = {
        "KF_PIPELINES_UI_ENDPOINT": "https://kubeflow.example",
        "TRUNKLINE_MLFLOW_UI": "https://mlflow.example",
    }
    found = objects({"store": {"endpoint": "http://minio:9000"}, "environment": links})
    named(found, "ServiceAccount", cluster["service_account"])
    named(found, "ConfigMap", cluster["presets"])
    for name, keys in cluster["config_maps"].items():
        assert set(keys) == set(named(found, "ConfigMap", name)["data"])


def test_a_package_holds_the_files_of_the_folder(tmp_path):
    from helm_python import package

    assert not any(path.is_symlink() for path in CHART.rglob("*"))  # Helm warns of them
    with tarfile.open(package(str(CHART), destination=str(tmp_path))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names == {str(path.relative_to(CHART)) for path in CHART.rglob("*") if path.is_file()}


def test_schedules_go_with_the_release():
    """The same program, told that there shall be none; its pods are gone when it has ended well."""
    jobs = {o["metadata"]["name"]: o for o in objects(FULL) if o["kind"] == "Job"}
    made, ended = jobs["trunkline-schedule"], jobs["trunkline-schedule-end"]
    hooks = [job["metadata"]["annotations"]["helm.sh/hook"] for job in (made, ended)]
    assert hooks == ["post-install,post-upgrade", "pre-delete"]
    containers = [job["spec"]["template"]["spec"].pop("containers") for job in (made, ended)]
    assert containers[0] == containers[1]
    volumes = {one["name"]: one for one in ended["spec"]["template"]["spec"]["volumes"]}
    assert volumes["schedules"]["emptyDir"] == {"sizeLimit": "1Mi"}
    for job in (made, ended):
        assert "hook-succeeded" in job["metadata"]["annotations"]["helm.sh/hook-delete-policy"]


def test_every_object_has_the_labels_of_its_release():
    usual = {"managed-by": "Helm", "part-of": "trunkline", "instance": "trunkline", "version": "0.1.0"}
    labels = {f"app.kubernetes.io/{name}": value for name, value in usual.items()}
    for item in objects(FULL):
        found = item["metadata"]["labels"]
        assert labels.items() <= found.items() and found["app.kubernetes.io/component"], item["metadata"]
        assert found["helm.sh/chart"] == "trunkline-0.1.0"
