"""The chart gives the launcher the rights that it needs: the API of the tests refuses everything else."""

import itertools

import pytest

from components.lib.core.errors import AccessError, DataError
from components.pretraining.launchers.trainjob import Config, launch
from tests.components.pretraining.launchers.test_trainjob import FAILING, FINE, api, committed, job, pod
from tests.fakes import kubernetes_rights as rights
from tests.fakes.kubernetes_rights import Act

__all__ = ["api"]  # the fixture
GROUP = "trainer.kubeflow.org"
CHANGING = {"create", "delete", "patch", "update", "deletecollection"}


def granted():
    rules = rights.rules("pipeline-runner")
    sides = ((rule["verbs"], rule["apiGroups"], rule["resources"]) for rule in rules)
    return {Act(*act) for side in sides for act in itertools.product(*side)}


def done(api):
    return {Act(one.verb, one.group, one.resource) for one in api.acts}


def test_the_launcher_does_what_the_chart_lets_it_do_and_changes_nothing_else(api, s3):
    api.program = pod("time.sleep(1)\n" + FINE)
    launch(job(s3), Config())
    api.program = pod(FAILING)
    with pytest.raises(DataError):
        launch(job(f"{s3}/failing"), Config())
    assert done(api) <= granted()
    assert {one for one in granted() if one.verb in CHANGING} <= done(api)


@pytest.mark.parametrize("verb", ["get", "create", "delete"])
def test_a_right_on_trainjobs_that_is_taken_away_ends_the_stage_with_the_fix(api, s3, verb):
    api.rules = rights.without(api.rules, Act(verb, GROUP, "trainjobs"))
    api.program = pod("commit()")
    with pytest.raises(AccessError) as caught:
        launch(job(s3), Config())
    assert caught.value.exit_code == 77 and "accounts.yaml" in caught.value.fix
    assert f"cannot {verb} trainjobs.{GROUP}" in caught.value.found


@pytest.mark.parametrize(
    ("verb", "resource", "shown", "told"),
    [
        ("list", "pods", False, ["the log of the pods is not shown", "pods of the TrainJob are not shown"]),
        ("get", "pods/log", False, ["the log of the pods is not shown"]),
        ("list", "events", True, ["events of the TrainJob are not shown"]),
    ],
)
def test_without_a_right_on_pods_the_training_goes_on_and_it_is_told(
    api, s3, verb, resource, shown, told, capsys
):
    api.rules = rights.without(api.rules, Act(verb, "", resource))
    api.program = pod("time.sleep(1)\n" + FINE)
    launch(job(s3), Config())
    said = capsys.readouterr().out
    assert committed(s3) and ("line 8" in said) == shown
    assert [said.count(line) for line in told] == [1] * len(told) and f"cannot {verb} {resource}" in said


@pytest.mark.parametrize("account", ["pipeline-runner", "default-editor", "trunkline"])
def test_every_account_of_a_step_has_the_same_rights(account):
    assert rights.rules(account) == rights.rules("pipeline-runner") != []
    assert rights.rules("trunkline-postgresql") == []
