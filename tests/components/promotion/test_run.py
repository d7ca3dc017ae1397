import dataclasses
import json

import pytest

from components.lib.core.errors import ConfigErrors, DataError
from components.lib.registry import links
from components.lib.registry.registered_models import Registry
from components.promotion import champion
from components.promotion.config import Config
from components.promotion.run import run
from components.registration.config import Config as Registration
from components.registration.run import run as register
from tests import models, verdicts
from tests.killing import dying

FLOOR = Config({"floors": {"minimum": {"accuracy": 0.5}}, "noninferiority": {"margin": 0.01}})
PASSES, FAILS = (0.02, 0.01, 0.03), (-0.02, -0.03, -0.01)


@pytest.fixture
def trunk(tracked, tmp_path):
    made = models.trunk(tracked.store)
    made.write(tmp_path / "trunk.json")
    register(
        Registration("news"), tracked, trunk=tmp_path / "trunk.json", registered=tmp_path / "registered.json"
    )
    return made


def gated(context, tmp_path, evaluations, config=FLOOR):
    """Runs promotion; returns its manifest and decision.json."""
    context = dataclasses.replace(context, stage="promotion", outputs=[])
    paths = []
    for number, evaluation in enumerate(evaluations):
        paths.append(tmp_path / f"evaluation-{number}.json")
        evaluation.write(paths[-1])
    given = {"registered": tmp_path / "registered.json", "evaluations": paths}
    outputs = {"decision": tmp_path / "decision.json", "report": tmp_path / "report.html"}
    made = run(config, context, **given, **outputs)
    return made, json.loads(context.store.open(made, "decision.json").read_text())


def holder(context, alias, name="news-topics"):
    found = Registry(context.tracking_uri).find(name, alias)
    return found.reference if found else None


def test_the_first_branch_becomes_champion(tracked, tmp_path, trunk):
    branch = models.branch(tracked.store, trunk)
    made, decision = gated(tracked, tmp_path, [models.evaluation(tracked.store, branch)])
    task = decision["tasks"][0]
    assert (task["verdict"], task["passed"], decision["trunk_passed"]) == ("promoted", True, True)
    assert "no champion yet" in task["reasons"][-1]
    assert holder(tracked, "champion") == holder(tracked, "challenger") == branch.reference
    assert holder(tracked, "previous") is None
    assert holder(tracked, "champion", "news") == trunk.reference
    version = Registry(tracked.tracking_uri).find("news-topics", "champion")
    assert version.tags["trunkline.gate"] == "passed" and version.tags["trunkline.decision"] == made.reference
    assert version.tags["trunkline.pretraining"] == trunk.reference
    report = (tmp_path / "report.html").read_text()
    assert tracked.store.objects.read("runs/run-1/report.html").decode() == report and "promoted" in report


@pytest.mark.parametrize("better", [True, False])
def test_a_branch_that_may_be_no_better_than_the_majority_class_is_not_promoted_without_a_word(
    tracked, tmp_path, trunk, capsys, better
):
    branch = models.branch(tracked.store, trunk)
    constant = {"answer": "autos", "value": 0.79, "better": better}
    _, decision = gated(tracked, tmp_path, [models.evaluation(tracked.store, branch, constant=constant)])
    (task,) = decision["tasks"]
    words = "its accuracy of 0.8000 is not shown to be better than always answering 'autos', which has 0.7900"
    assert task["verdict"] == "promoted" and (words in task["reasons"]) == (not better)
    told = f"promotion: topics is promoted, though {words}"
    assert (told in capsys.readouterr().out) == (not better)
    assert ("always answering" in (tmp_path / "report.html").read_text()) == (not better)


def test_a_branch_that_is_worse_than_a_linear_model_is_not_promoted_even_first(
    tracked, tmp_path, trunk, capsys
):
    branch = models.branch(tracked.store, trunk)
    scored = models.evaluation(tracked.store, branch, linear=(-0.05, -0.08, -0.02))
    _, decision = gated(tracked, tmp_path, [scored], Config())
    (task,) = decision["tasks"]
    reason = (
        "with 20 labels: the trunk is worse than a linear model (\u22125.0 points of accuracy, 95 % interval"
    )
    assert task["verdict"] == "rejected" and task["reasons"][0].startswith(reason)
    assert holder(tracked, "champion") is None and holder(tracked, "champion", "news") is None
    assert "promotion: topics is NOT promoted: with 20 labels" in capsys.readouterr().out
    assert "the trunk is worse than a linear model" in (tmp_path / "report.html").read_text()
    verdict = json.loads(tracked.store.objects.read("runs/run-1/verdict.json"))
    assert [one["name"] for one in verdicts.checked(verdict)] == ["topics"]


def test_the_branch_is_registered_with_its_numbers_and_linked_to(tracked, tmp_path, trunk, monkeypatch):
    scored = models.evaluation(tracked.store, models.branch(tracked.store, trunk))
    gated(tracked, tmp_path, [scored])
    registry = Registry(tracked.tracking_uri)
    links.write(tmp_path / "link", tracked, [scored])
    assert r"- news\-topics version 1: anchor, challenger, champion" in (tmp_path / "link").read_text(), (
        "a file"
    )
    monkeypatch.setenv(links.INTERFACE, "https://mlflow.example/")
    links.write(tmp_path / "link", tracked, [scored])
    first, whole = (tmp_path / "link").read_text().splitlines()
    page = "https://mlflow.example/#/models/news-topics/versions/1"
    assert first == rf"- [news\-topics version 1]({page}): anchor, challenger, champion"
    assert r"- the whole run: [run\-1](https://mlflow.example/#/experiments/" in whole
    version = registry.find("news-topics", "champion")
    found = registry.client.get_run(version.run_id)
    assert found.data.metrics == pytest.approx({"accuracy": 0.8, "accuracy/low": 0.78, "accuracy/high": 0.82})
    assert found.data.tags["trunkline.task"] == "topics" and found.info.status == "FINISHED"
    card = registry.client.get_model_version("news-topics", version.version).description
    assert "| accuracy | 0.8000 | 0.7800 to 0.8200 |" in card and "atheism, autos" in card


def test_a_better_branch_replaces_the_champion(tracked, tmp_path, trunk):
    old, new = (models.branch(tracked.store, trunk, seed) for seed in (0, 1))
    gated(tracked, tmp_path, [models.evaluation(tracked.store, old)])
    scored = models.evaluation(tracked.store, new, champion=(old, "1"), difference=PASSES)
    _, decision = gated(tracked, tmp_path, [scored])
    assert decision["tasks"][0]["verdict"] == "promoted"
    assert (holder(tracked, "champion"), holder(tracked, "previous")) == (new.reference, old.reference)


@pytest.mark.parametrize(("difference", "accuracy"), [(FAILS, 0.8), (PASSES, 0.4)])
def test_a_failed_gate_is_a_success_that_moves_nothing(tracked, tmp_path, trunk, difference, accuracy):
    old, new = (models.branch(tracked.store, trunk, seed) for seed in (0, 1))
    gated(tracked, tmp_path, [models.evaluation(tracked.store, old)])
    scored = models.evaluation(tracked.store, new, (old, "1"), accuracy, difference)
    made, decision = gated(tracked, tmp_path, [scored])
    assert decision["tasks"][0]["verdict"] == "rejected" and made.facts == {
        "passed": False,
        "tasks": {"topics": "rejected"},
    }
    assert (holder(tracked, "champion"), holder(tracked, "challenger")) == (old.reference, new.reference)
    assert holder(tracked, "previous") is None
    version = Registry(tracked.tracking_uri).find("news-topics", "challenger")
    assert version.tags["trunkline.gate"] == "failed" and version.tags["trunkline.gate.reasons"]


def test_the_champion_itself_stays_where_it_is(tracked, tmp_path, trunk):
    old, new = (models.branch(tracked.store, trunk, seed) for seed in (0, 1))
    gated(tracked, tmp_path, [models.evaluation(tracked.store, old)])
    gated(tracked, tmp_path, [models.evaluation(tracked.store, new, (old, "1"), difference=PASSES)])
    _, decision = gated(tracked, tmp_path, [models.evaluation(tracked.store, new)])  # scored without a rival
    assert decision["tasks"][0]["verdict"] == "unchanged"
    assert "champion already" in decision["tasks"][0]["reasons"][-1]
    assert (holder(tracked, "champion"), holder(tracked, "previous")) == (new.reference, old.reference)


def test_the_same_again_is_reused_and_changes_nothing(tracked, tmp_path, trunk):
    scored = models.evaluation(tracked.store, models.branch(tracked.store, trunk))
    first, _ = gated(tracked, tmp_path, [scored])
    with dying(0):  # any change would kill it
        second, decision = gated(tracked, tmp_path, [scored])
    assert second == first and decision["tasks"][0]["verdict"] == "promoted"


@pytest.mark.parametrize(("wrong", "verdict", "first"), [(60, "promoted", True), (130, "rejected", False)])
def test_the_later_of_two_runs_is_compared_with_the_earlier(tracked, tmp_path, trunk, wrong, verdict, first):
    """Both were scored against the champion before, or none; the later passes or fails by the new one."""
    old, early, late = (models.branch(tracked.store, trunk, seed) for seed in (0, 1, 2))
    before = {} if first else {"champion": (old, "1"), "difference": PASSES}
    if not first:
        gated(tracked, tmp_path, [models.evaluation(tracked.store, old)])
    gated(tracked, tmp_path, [models.evaluation(tracked.store, early, drawn=100, **before)])
    previous = holder(tracked, "previous")
    later = models.evaluation(tracked.store, late, drawn=wrong, **before)
    made, decision = gated(tracked, tmp_path, [later])
    (task,) = decision["tasks"]
    assert task["verdict"] == verdict and task["champion"]["reference"] == early.reference
    assert task["difference"]["accuracy"]["value"] == pytest.approx((100 - wrong) / 500)
    assert "became champion since the evaluation: compared with it" in " ".join(task["reasons"])
    moved = verdict == "promoted"
    assert holder(tracked, "champion") == (late if moved else early).reference
    assert holder(tracked, "previous") == (early.reference if moved else previous)
    with dying(0):  # whoever was killed at the end finds its own decision
        assert gated(tracked, tmp_path, [later])[0] == made


def test_a_champion_without_outcomes_on_these_examples_is_no_error_for_good(tracked, tmp_path, trunk):
    old, late = (models.branch(tracked.store, trunk, seed) for seed in (0, 1))
    gated(tracked, tmp_path, [models.evaluation(tracked.store, old)])
    _, decision = gated(tracked, tmp_path, [models.evaluation(tracked.store, late, drawn=10)])
    (task,) = decision["tasks"]
    assert task["verdict"] == "rejected" and "the next run does" in " ".join(task["reasons"])
    assert (holder(tracked, "champion"), holder(tracked, "challenger")) == (old.reference, late.reference)


def test_a_champion_that_was_taken_away_is_none(tracked, tmp_path, trunk):
    old, late = (models.branch(tracked.store, trunk, seed) for seed in (0, 1))
    gated(tracked, tmp_path, [models.evaluation(tracked.store, old)])
    scored = models.evaluation(tracked.store, late, champion=(old, "1"), difference=FAILS)
    Registry(tracked.tracking_uri).client.delete_registered_model_alias("news-topics", "champion")
    _, decision = gated(tracked, tmp_path, [scored])
    assert decision["tasks"][0]["verdict"] == "promoted" and holder(tracked, "champion") == late.reference


def test_an_alias_that_a_run_on_another_store_moves_meanwhile_is_met_by_a_second_look(
    tracked, tmp_path, trunk, monkeypatch
):
    """The lease is of one store; what is left to MLflow alone is read back, and compared anew."""
    old, early, late = (models.branch(tracked.store, trunk, seed) for seed in (0, 1, 2))
    gated(tracked, tmp_path, [models.evaluation(tracked.store, old, drawn=100)])
    better = {"champion": (old, "1"), "difference": PASSES}
    gated(tracked, tmp_path, [models.evaluation(tracked.store, early, drawn=90, **better)])
    registry, looks = Registry(tracked.tracking_uri), []
    back = registry.version("news-topics", old.reference)
    real = champion.candidate

    def look(*arguments):
        found = real(*arguments)
        looks.append(found.champion.reference)
        if len(looks) == 1:  # somebody puts the old one back
            registry.set_alias(back, "champion")
        return found

    monkeypatch.setattr(champion, "candidate", look)
    later = models.evaluation(tracked.store, late, drawn=95, champion=(early, "2"))
    _, decision = gated(tracked, tmp_path, [later])
    assert looks == [early.reference, old.reference] and decision["tasks"][0]["verdict"] == "promoted"
    assert (holder(tracked, "champion"), holder(tracked, "previous")) == (late.reference, old.reference)


def test_the_trunk_follows_only_when_every_branch_passed(tracked, tmp_path, trunk):
    good, bad = (
        models.branch(tracked.store, trunk),
        models.branch(tracked.store, trunk, 1, "token_classification"),
    )
    scored = [
        models.evaluation(tracked.store, good),
        models.evaluation(tracked.store, bad, accuracy=0.4, task="names", model="news-names"),
    ]
    made, _ = gated(tracked, tmp_path, scored)
    assert made.facts == {"passed": False, "tasks": {"topics": "promoted", "names": "rejected"}}
    assert holder(tracked, "champion") == good.reference
    assert holder(tracked, "champion", "news-names") is None
    assert holder(tracked, "challenger", "news-names") == bad.reference
    assert holder(tracked, "champion", "news") is None


def test_a_branch_of_another_trunk_does_not_lift_this_one(tracked, tmp_path, trunk):
    other = models.trunk(tracked.store, seed=1)
    gated(tracked, tmp_path, [models.evaluation(tracked.store, models.branch(tracked.store, other))])
    assert holder(tracked, "champion") is not None
    assert holder(tracked, "champion", "news") is None


def test_a_decision_is_a_function_of_its_inputs(tracked, tmp_path, trunk):
    scored = models.evaluation(tracked.store, models.branch(tracked.store, trunk))
    first, _ = gated(tracked, tmp_path, [scored])
    Registry(tracked.tracking_uri).client.delete_registered_model_alias("news-topics", "champion")
    tracked.store.objects.delete(f"promotion/{first.key.digest}/manifest.json")
    second, _ = gated(tracked, tmp_path, [scored])
    assert second.digest == first.digest and second.uri != first.uri


def test_wrong_rules_are_refused_before_anything_happens(tracked, tmp_path, trunk):
    scored = models.evaluation(tracked.store, models.branch(tracked.store, trunk))
    with pytest.raises(ConfigErrors):
        gated(tracked, tmp_path, [scored], Config({"flors": {}}))
    assert holder(tracked, "challenger") is None


def test_a_task_twice_is_refused(tracked, tmp_path, trunk):
    scored = models.evaluation(tracked.store, models.branch(tracked.store, trunk))
    with pytest.raises(DataError, match="twice"):
        gated(tracked, tmp_path, [scored, scored])
