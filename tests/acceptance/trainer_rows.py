"""Rows of acceptance about Kubeflow Trainer: TrainJobs that lose a pod, cannot start, or have no room."""

from __future__ import annotations

from tests.acceptance.asking import LASTS, Asking, Found, expect, why
from tests.acceptance.rows import cancelled, same_bytes, trained_by

IMAGE = "nowhere.example/x:1"
ROOM = "100000"  # processors of a pod, that no node has
SCHEDULER = ("Unschedulable", "FailedScheduling", "Insufficient")


def lost(asking: Asking) -> str:
    """A TrainJob of two pods that loses one goes on, and its trunk is that of an undisturbed local run."""
    run_id = asking.start(asking.long(trainer=True))

    def both() -> Found:
        asking.live(run_id, LASTS)
        pods = trained_by(asking, run_id)
        learns = any(" loss " in asking.site.log(pod.metadata.name, "node") for pod in pods)
        return pods if len(pods) == 2 and learns else None, f"{len(pods)} pods, {asking.waiting(run_id)}"

    pods = asking.until("two pods of a TrainJob that train", both)
    asking.site.delete_pod(pods[-1].metadata.name)
    before = {pod.metadata.name for pod in pods}

    def anew() -> Found:
        asking.live(run_id, "both pods are made anew")
        found = {pod.metadata.name for pod in trained_by(asking, run_id)}
        return found if len(found - before) == 2 else None, f"running: {', '.join(sorted(found)) or 'none'}"

    asking.until("both pods are made anew", anew)
    asking.succeeded(run_id)
    gone(asking, run_id)
    return (
        f"made anew; {same_bytes(asking, run_id, {'pretraining.nproc': 2, 'pretraining.launcher': 'local'})}"
    )


def gone(asking: Asking, run_id: str) -> None:
    """No TrainJob of an ended run is left."""
    asking.until(
        "no TrainJob is left",
        lambda: (not asking.site.trainjobs(run_id) or None, ", ".join(sorted(asking.jobs[run_id]))),
        60,
    )


def image(asking: Asking) -> str:
    """A TrainJob whose image cannot be pulled: the run ends, with Kubernetes' own words in its record."""
    run_id = asking.start(asking.long(trainer=True, launch={"image": IMAGE, "patience": 1}))
    state = asking.ended(run_id)
    record = asking.record(run_id)
    expect(state == "FAILED" and record["status"] == "failed", "FAILED", f"{state}, {record['status']}")
    said = why(record)
    expect(IMAGE in said and "pull" in said.lower(), f"that {IMAGE} cannot be pulled", said)
    asking.closed(run_id, "FAILED", "KILLED", "FINISHED")
    gone(asking, run_id)
    return said[:120]


def no_room(asking: Asking) -> str:
    """A TrainJob that no node has room for: it waits, says so, and goes with the run."""
    run_id = asking.start(asking.long(trainer=True, launch={"resources": {**asking.resources, "cpu": ROOM}}))

    def told() -> Found:
        asking.live(run_id, "a run that waits for room")
        pod = asking.site.step(run_id, "pretraining")
        said = asking.site.log(pod.metadata.name, "main") if pod else ""
        last = said.strip().splitlines()[-1] if said.strip() else "nothing"
        return next((word for word in SCHEDULER if word in said), None), f"the step's log ends: {last}"

    word = asking.until("the step tells that no node has room", told)
    return f"told ({word}); {cancelled(asking, run_id)}"


ROWS = {"lost-pod": lost, "image": image, "no-room": no_room}
