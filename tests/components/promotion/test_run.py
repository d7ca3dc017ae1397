import json

from components.lib.registry import Registry
from components.promotion.config import Config
from components.promotion.run import run
from components.registration.config import Config as Registration
from components.registration.run import run as register
from tests import models


def written(tmp_path, name, manifest):
    manifest.write(tmp_path / f"{name}.json")
    return tmp_path / f"{name}.json"


def test_the_first_branch_becomes_champion(tracked, tmp_path):
    trunk = models.trunk(tracked.store)
    register(
        Registration("news"), tracked, trunk=written(tmp_path, "trunk", trunk), registered=tmp_path / "r.json"
    )
    branch = models.branch(tracked.store, trunk)
    scored = models.evaluation(tracked.store, branch)
    paths = {"decision": tmp_path / "d.json", "report": tmp_path / "report.html"}
    given = {"registered": tmp_path / "r.json", "evaluations": [written(tmp_path, "evaluation", scored)]}
    made = run(Config(), tracked, **given, **paths)
    decision = json.loads(tracked.store.open(made, "decision.json").read_text())
    assert decision["tasks"][0]["verdict"] == "promoted"
    registry = Registry(tracked.tracking_uri)
    assert registry.find("news-topics", "champion").reference == branch.reference
    assert registry.find("news", "champion").reference == trunk.reference
