"""Compressed variants have models of their own; each is promoted if it is not worse than its branch."""

import pytest

from components.lib.registry.registered_models import Registry
from components.promotion.config import Config
from tests import models
from tests.components.promotion.test_run import FLOOR, gated, holder, trunk  # noqa: F401
from tests.pages import read

CLOSE, WORSE = (-0.002, -0.008, 0.004), (-0.03, -0.04, -0.02)


def variant(store, branch, name, difference):
    facts = {key: branch.facts[key] for key in ("task", "kind", "modality", "classes")}
    files = {"model/compression.json": f'{{"name": "{name}", "libraries": {{"onnxruntime": "1.30.0"}}}}'}
    weights = ("sequence_classification", models.CLASSES, 7)
    made = models.commit(store, "compression", {"branch": branch}, facts, model=weights, files=files)
    entry = dict(zip(("value", "low", "high"), difference, strict=True))
    metrics = {"accuracy": {"value": 0.8 + difference[0], "low": 0.7, "high": 0.9}}
    told = {"reference": made.reference, "left_out": "", "metrics": metrics, "megabytes": 1.5}
    return {**told, "difference": {"accuracy": entry}, "agreement": 0.99}


@pytest.mark.parametrize(
    ("difference", "margin", "accuracy", "promoted"),
    [
        (CLOSE, 0.01, 0.8, True),
        (WORSE, 0.01, 0.8, False),
        (WORSE, 0.05, 0.8, True),
        (CLOSE, 0.01, 0.4, False),
    ],
    ids=["close", "worse", "a wide margin", "the branch itself fails"],
)
def test_a_variant_has_its_own_gate(tracked, tmp_path, trunk, capsys, difference, margin, accuracy, promoted):  # noqa: F811
    branch = models.branch(tracked.store, trunk)
    found = {"distilled": variant(tracked.store, branch, "distilled", difference)}
    found["int8"] = {"reference": "compression/0", "left_out": "no such exporter"}
    scored = models.evaluation(tracked.store, branch, accuracy=accuracy, more={"variants": found})
    config = Config(FLOOR.rules, variant_margin=margin)
    for _ in range(2):  # a repetition changes nothing
        _, decision = gated(tracked, tmp_path, [scored], config)
    (task,) = decision["tasks"]
    (one,) = task["variants"]
    assert (one["verdict"], one["passed"]) == ("promoted" if promoted else "rejected", promoted)
    reference = found["distilled"]["reference"]
    assert holder(tracked, "challenger", "news-topics-distilled") == reference
    assert holder(tracked, "champion", "news-topics-distilled") == (reference if promoted else None)
    registry = Registry(tracked.tracking_uri)
    version = registry.find("news-topics-distilled", "challenger")
    assert version.version == "1" and version.tags["trunkline.gate"] == ("passed" if promoted else "failed")
    assert version.tags["trunkline.finetuning"] == branch.reference
    card = registry.client.get_model_version(version.name, version.version).description
    assert "Compressed (distilled)" in card and "Compressed variants" in card
    page = read((tmp_path / "report.html").read_text(), gaps=True).text
    assert "of the full branch or better" in page and "int8 was left out: no such exporter" in page
    said = "topics: distilled is NOT promoted" in capsys.readouterr().out
    assert said == (not promoted)
