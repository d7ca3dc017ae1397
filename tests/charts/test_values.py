import re

import kubernetes_validate
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from tests.charts import restricted
from tests.charts.rendering import CHART, MINIMAL, defaults, merged, objects, schema

PHASES = [Phase.generate]  # a failure is told as it is
FOREIGN = {*"TrainingRuntime ClusterTrainingRuntime InferenceService".split()}
FOREIGN |= {"ServiceMonitor", "PodMonitor", "PrometheusRule"}


def leaves(node, path=""):
    """Dotted name -> its schema, down to what is not an object with known properties."""
    for name, inner in node.get("properties", {}).items():
        dotted = f"{path}.{name}" if path else name
        if "properties" in inner and name != "resources":
            yield from leaves(inner, dotted)
        else:
            yield dotted, inner


def looked_up(values, dotted):
    for name in dotted.split("."):
        values = values[name]
    return values


def nodes(node):
    yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        if isinstance(inner, dict | list):
            yield from nodes(inner)


def test_the_schema_is_one_and_lets_nothing_unknown_through():
    Draft7Validator.check_schema(schema())
    for node in nodes(schema()):
        if isinstance(node, dict) and node.get("type") == "object":
            assert node["additionalProperties"] is False or "type" in node["additionalProperties"]
            assert node["additionalProperties"] is False or "properties" not in node
    assert Draft7Validator(schema()).is_valid(merged(defaults(), MINIMAL))


def test_values_schema_and_readme_name_the_same():
    readme = (CHART / "README.md").read_text()
    told = dict(re.findall(r"^\| `([\w.]+)` \| (?:`([^`]*)`)?", readme, flags=re.MULTILINE))
    known = dict(leaves(schema()))
    assert set(told) == set(known), "README.md and values.schema.json"
    for dotted, node in known.items():
        default = looked_up(defaults(), dotted)  # values.yaml has it
        assert node.get("description"), dotted
        if isinstance(default, str | int | bool) and default != "":
            assert told[dotted] == str(default).replace("True", "true").replace("False", "false"), dotted
    assert len(list(leaves_of(defaults()))) == len(known), "values.yaml has nothing else"


def leaves_of(values):
    for name, value in values.items():
        if isinstance(value, dict) and value and name != "resources":
            yield from leaves_of(value)
        else:
            yield name


def arbitrary(node):
    """Whatever a schema of this file's kind allows."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if node["type"] == "boolean":
        return st.booleans()
    if node["type"] == "integer":
        return st.integers(node["minimum"], node["maximum"])
    if node["type"] == "array":
        inner = arbitrary(node["items"]) if "items" in node else st.just({})
        return st.lists(inner, min_size=node.get("minItems", 0), max_size=3)
    if node["type"] == "object" and "properties" in node:
        made = {name: arbitrary(inner) for name, inner in node["properties"].items()}
        needed = {name: made.pop(name) for name in node.get("required", ())}
        return st.fixed_dictionaries(needed, optional=made)
    if node["type"] == "object":
        keys = st.from_regex(node.get("propertyNames", {}).get("pattern", "[a-z]{1,9}"), fullmatch=True)
        return st.dictionaries(keys, arbitrary(node["additionalProperties"]), max_size=3)
    if "pattern" in node:
        banned = re.compile(node.get("not", {}).get("pattern", r"(?!)"))
        ascii_only = st.from_regex(re.compile(node["pattern"], re.ASCII), fullmatch=True)
        return ascii_only.filter(lambda text: not banned.search(text))
    return st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20)


@pytest.mark.timeout(240)
@settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), phases=PHASES
)
@given(arbitrary(schema()))
def test_whatever_the_schema_allows_renders_to_restricted_pods(values):
    images = {name: f"r/{name}:1" for name in ("tracking", "training", "serving", "pipelines", "postgresql")}
    needed = {
        "images": {name: values.get("images", {}).get(name) or image for name, image in images.items()},
        "store": {"uri": values.get("store", {}).get("uri") or "s3://bucket"},
        "database": {"existingSecret": values.get("database", {}).get("existingSecret") or "login"},
        "pipelines": {"cluster": values.get("pipelines", {}).get("cluster") or "x: y"},
        "mlflow": {"externalUri": "http://mlflow", "ingress": {"tlsSecret": "tls"}},
    }
    for item in objects(merged(values, needed)):
        assert item["apiVersion"] and item["kind"] and item["metadata"]["name"]
        if item["kind"] not in FOREIGN:
            kubernetes_validate.validate(item, "1.34", strict=True)
        for path, pod in restricted.pods(item):
            found = restricted.complaints(pod["spec"])
            assert [text for text in found if "what it needs" not in text] == [], path
