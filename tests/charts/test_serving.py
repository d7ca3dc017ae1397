"""Served models: a Deployment each, or an InferenceService of KServe with the same pod."""

import kubernetes_validate
import pytest

from tests.charts import restricted
from tests.charts.rendering import FULL, merged, named, objects

NAME = "trunkline-serve-news-tone"
# ComponentExtensionSpec of serving.kserve.io/v1beta1; beside it a predictor has what a pod's spec has.
EXTENSIONS = {
    "minReplicas": int,
    "maxReplicas": int,
    "scaleMetric": str,
    "scaleTarget": int,
    "deploymentStrategy": dict,
}


@pytest.fixture(scope="module")
def found():
    return objects(FULL)


def test_a_server_has_no_rights_and_reaches_mlflow_and_the_store_alone(found):
    for item in (one for one in found if one["kind"] == "Deployment" and "serve" in one["metadata"]["name"]):
        labels = item["spec"]["template"]["metadata"]["labels"]
        assert item["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
        out = []
        for policy in (one for one in found if one["kind"] == "NetworkPolicy"):
            chosen = policy["spec"]["podSelector"]
            asked = chosen.get("matchExpressions", [])
            if chosen["matchLabels"].items() <= labels.items() and all(
                labels[one["key"]] in one["values"] for one in asked
            ):
                out += [policy["metadata"]["name"]] if policy["spec"].get("egress") else []
        assert sorted(out) == ["trunkline-names", "trunkline-store", "trunkline-tracking"]
    way_in = named(found, "NetworkPolicy", "trunkline-serving")["spec"]["ingress"]
    spaces = [peer.get("namespaceSelector") for peer in way_in[0]["from"]]
    assert [one["matchLabels"]["kubernetes.io/metadata.name"] for one in spaces[1:]] == ["shop", "monitoring"]
    assert way_in[0]["ports"] == [{"port": 8080, "protocol": "TCP"}]


def test_a_server_is_rolled_out_without_a_gap_and_drained(found):
    spec = named(found, "Deployment", NAME)["spec"]
    assert (
        spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1} and "replicas" not in spec
    )
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"][:2] == ["news-tone", "--alias=challenger"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health"
    scaler = named(found, "HorizontalPodAutoscaler", NAME)["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)


def test_with_kserve_the_same_pod_is_an_inference_service(found):
    services = objects(merged(FULL, {"serving": {"kserve": "always"}}))
    assert not [one for one in services if one["kind"] == "Deployment" and "serve" in one["metadata"]["name"]]
    item = named(services, "InferenceService", NAME)
    predictor = dict(item["spec"]["predictor"])
    for name, kind in EXTENSIONS.items():
        assert isinstance(predictor.pop(name), kind)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": predictor}
    kubernetes_validate.validate(pod, "1.34", strict=True)
    assert restricted.complaints(predictor) == []
    assert item["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "RawDeployment"
    plain = named(found, "Deployment", NAME)["spec"]["template"]["spec"]
    predictor["containers"][0]["name"] = "model"  # KServe calls the main one kserve-container
    assert predictor == plain
    chosen = named(services, "NetworkPolicy", "trunkline-serving")["spec"]["podSelector"]["matchLabels"]
    assert chosen.items() <= item["metadata"]["labels"].items(), "KServe gives its pods these labels"
