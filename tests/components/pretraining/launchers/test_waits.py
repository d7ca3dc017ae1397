"""What the follower of a TrainJob tells and how it ends, played what a real cluster showed, and the like."""

import sys
import time

import pytest

from components.lib.core import errors
from components.pretraining.follower import name_of
from components.pretraining.launchers.trainjob import Config, launch
from tests.components.pretraining.launchers.test_trainjob import FOLLOWER, api, beside, gone, job, left, pod

__all__ = ["api"]  # the fixture
UNPLACED = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: "
LABELS = {"jobset.sigs.k8s.io/replicatedjob-name": "node", "batch.kubernetes.io/job-completion-index": "0"}


MOUNTED = {"volumes": []}  # a store that is a folder


@pytest.fixture
def store(tmp_path):
    return str(tmp_path / "store")


def followed(api, store, patience, seconds, **settings):
    """The error by which a launch ends that somebody stops after a while, if it has not ended by itself."""

    def stop():
        while not api.made:
            time.sleep(0.01)
        end = time.monotonic() + seconds
        while time.monotonic() < end and name in api.jobs:
            time.sleep(0.05)
        gone(api, name)

    wanted = job(store, **settings)
    name = name_of(wanted)
    with beside(stop), pytest.raises(errors.TrunklineError) as caught:
        launch(wanted, Config(patience=patience, pod=MOUNTED))
    return caught.value


@pytest.mark.parametrize(
    ("case", "patience", "kind", "what", "said"),
    [
        (
            "image-cannot-be-pulled",
            0.01,
            errors.ConfigError,
            'the pods cannot start: ImagePullBackOff: Back-off pulling image "nowhere.example/x:1"',
            ["pod 0: Failed: Error: ErrImagePull", 'pod 0: Pulling: Pulling image "nowhere.example/x:1"'],
        ),
        (
            "secret-missing",
            0.01,
            errors.ConfigError,
            'the pods cannot start: CreateContainerConfigError: secret "nosuch" not found',
            ['pod 0: Failed: Error: secret "nosuch" not found', "pod 0: Pending"],
        ),
        ("image-cannot-be-pulled", 10.0, errors.Interrupted, "somebody deleted", ["ImagePullBackOff"]),
        (
            "cannot-be-placed",
            0.0,
            errors.Interrupted,
            "somebody deleted",
            [f": {UNPLACED}", f"it still waits: Unschedulable: {UNPLACED}"],
        ),
        (
            "out-of-memory",
            0.0,
            errors.Interrupted,
            "somebody deleted",
            ["pod 0: OOMKilled: exit code 70", "pod 1: OOMKilled: exit code 137", "pods run"],
        ),
        (
            "pod-lost-and-restarted",
            0.0,
            errors.WorkerLost,
            "ended without a trunk",  # a recording makes none
            ["pod 1: Terminating", "pod 1: Error: exit code 75", "JobSet: ", "applying RestartJobSet"],
        ),
    ],
)
def test_recordings_are_told_in_the_words_of_kubernetes_and_end_as_they_must(
    api, store, monkeypatch, capsys, case, patience, kind, what, said
):
    monkeypatch.setattr(f"{FOLLOWER}.POLL", 0.05)
    monkeypatch.setattr(f"{FOLLOWER}.REMINDED", 0.2)
    api.recorded = [case]
    error = followed(api, store, patience, 1.0 if patience == 10.0 else 3.0, restarts=0)
    assert type(error) is kind and what in error.what
    told = capsys.readouterr().out
    assert all(line in told for line in said), told
    lines = [line for line in told.splitlines() if "TrainJob" not in line]
    attempts = 2 if any("RestartJobSet" in line for line in lines) else 1
    assert max(map(lines.count, lines)) <= attempts  # however often the API says it
    assert len(api.made) == 1 and api.jobs == {}
    if kind is errors.ConfigError:  # whoever else follows the job gets the same error
        assert [key.rpartition("/")[2] for key in left(store) if "errors/" in key] == ["launcher.json"]


def waiting(reason, message):
    state = {"waiting": {"reason": reason, "message": message}}
    status = {"name": "node", "image": "x", "imageID": "x", "ready": False, "restartCount": 0, "state": state}
    return {"phase": "Pending", "containerStatuses": [status]}


@pytest.mark.parametrize(
    ("status", "event", "stuck"),
    [
        (
            waiting("InvalidImageName", 'Failed to apply default image tag "X:"'),
            None,
            "InvalidImageName: Fail",
        ),
        (waiting("CreateContainerError", "context deadline exceeded"), None, "CreateContainerError: context"),
        (
            waiting("ContainerCreating", ""),
            ("Pod", "FailedMount", 'secret "a" not found'),
            "FailedMount: secret",
        ),
        (waiting("ContainerCreating", ""), ("Pod", "Pulling", 'Pulling image "x"'), ""),
        (
            None,
            ("Job", "FailedCreate", "pods is forbidden: violates PodSecurity"),
            "FailedCreate: pods is for",
        ),
        (None, ("Job", "FailedCreate", "pods is forbidden: exceeded quota: gpus"), ""),
        (None, ("Workload", "Pending", "couldn't assign flavors to pod set node"), ""),
    ],
)
def test_what_a_person_must_mend_ends_the_run_and_a_place_is_waited_for(
    api, store, capsys, status, event, stuck
):
    api.pending = 1000.0  # what Kubernetes keeps of this job are the objects below
    name = name_of(job(store))
    around = {"Pod": f"{name}-node-0-0-abcde", "Job": f"{name}-node-0", "Workload": f"trainjob-{name}-12345"}
    if status:
        labels = {**LABELS, "jobset.sigs.k8s.io/jobset-name": name}
        api.put("pods", around["Pod"], {"metadata": {"labels": labels}, "status": status})
    then = "2026-01-01T00:00:00Z"
    old = {"type": "Warning", "reason": "FailedCreate", "message": "of a job before", "lastTimestamp": then}
    api.put("events", "old", {"involvedObject": {"kind": "Job", "name": around["Job"]}, **old})
    if event:
        of = {"kind": event[0], "name": around[event[0]]}
        said = {"reason": event[1], "message": event[2], "lastTimestamp": "2099-01-01T00:00:00Z"}
        api.put("events", "e", {"involvedObject": of, **said})
    error = followed(api, store, 0.005, 1.5)
    told = capsys.readouterr().out
    assert error.exit_code == (78 if stuck else 75)
    assert not stuck or error.what.startswith(f"the pods cannot start: {stuck}")
    assert not event or f"{event[1]}: {event[2]}" in told
    assert "of a job before" not in told


FULL = "import sys, time; time.sleep(0.3); sys.exit(137)"
FURTHER = """
number = len(list(connect(job.store).keys(job.checkpoints))) + 1
connect(job.store).write(f"{job.checkpoints}/{number:08}.00000001.commit.json", b"{}")
"""


@pytest.mark.parametrize(
    ("program", "kind"),
    [([sys.executable, "-c", FULL], errors.ConfigError), (pod(FURTHER + FULL), errors.WorkerLost)],
    ids=["at the same step", "further each time"],
)
def test_memory_that_runs_out_twice_at_one_step_ends_the_run_with_the_limit(api, store, program, kind):
    api.program = program
    with pytest.raises(errors.TrunklineError) as caught:
        launch(job(store, restarts=1), Config(resources={"memory": "400Mi"}, pod=MOUNTED))
    error = caught.value
    assert type(error) is kind and len(api.made) == 2
    assert "OOMKilled: exit code 137: limit 400Mi" in error.found
    assert "pretraining.micro_batch" in error.fix and "pretraining.launch.resources" in error.fix
