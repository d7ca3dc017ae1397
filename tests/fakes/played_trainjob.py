"""A TrainJob from its recording, as the step that follows it would see and tell it, in seconds."""

from typing import Any

from components.lib.core.errors import ConfigError, WorkerLost
from components.lib.kubernetes.manifest import GROUP, VERSION
from tests.acceptance.trainer_rows import ROOM
from tests.fakes.kubernetes_api import KubernetesAPI

LOST = "pod-lost-and-restarted"
SEEN = 40  # looks in which it rests after its restart, so that somebody sees it run


class PlayedTrainJob:
    """One TrainJob of two pods: as `launch` says, it trains, cannot be pulled or has no room."""

    def __init__(self, api: KubernetesAPI, run_id: str, launch: dict[str, Any], faults: set[str]) -> None:
        self.api, self.faults, self.name = api, faults, f"trunkline-{run_id[:20]}"
        self.lost, self.looks = False, 0
        case = "image-cannot-be-pulled" if launch.get("image") else LOST
        api.recorded.append("cannot-be-placed" if str(launch["resources"]["cpu"]) == ROOM else case)
        notes = {"trunkline.run": run_id, "trunkline.key": run_id[:20]}
        metadata = {
            "name": self.name,
            "annotations": notes,
            "labels": {"app.kubernetes.io/name": "trunkline"},
        }
        reference = {"apiGroup": GROUP, "kind": "TrainingRuntime", "name": "trunkline-torch"}
        spec = {"runtimeRef": reference, "trainer": {"numNodes": 2}, "suspend": False}
        job = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "TrainJob", "metadata": metadata, "spec": spec}
        status, said = api.create(job)
        assert status == 201, said
        self.played = api.played[self.name]
        if self.played.case == LOST:
            self.played.limit = self._running(0)

    def lose(self, pod: str) -> None:
        """Somebody deletes a pod: it goes on to where both run again."""
        if pod.startswith(f"{self.name}-"):
            self.lost, self.played.limit = True, self._running(self.played.step + 5)

    def complete(self, step: str) -> bool:
        """Whether it is; tells in the log of the pod `step` what it waits for.

        Raises:
            TrunklineError: where somebody must mend it, or it is lost; it is deleted then.
        """
        if self.name not in self.api.played:
            return False  # whoever deleted it says why
        try:
            self._check()
        except (ConfigError, WorkerLost):
            self.api.delete(self.name, {})
            raise
        if "silent" not in self.faults:
            told = [f"{one['reason']}: {one['message']}" for one in self.played.events()]
            self.api.logs[step] = told
        for pod in self.played.pods():
            self.api.logs.setdefault(pod["metadata"]["name"], ["pretraining [=] 1/6000  loss 1.0"])
        self.looks += self.lost and self.played.step == self.played.limit
        if self.looks > SEEN:
            self.played.limit = None
        done = "conditions" in self.api.get(self.name)[1]["status"]
        if done:
            self.api.delete(self.name, {})
        return done

    def _check(self) -> None:
        if self.lost and "not restarted" in self.faults:
            raise WorkerLost("the TrainJob failed", where=self.name)
        states = [one["state"] for pod in self.played.pods() for one in pod["status"]["containerStatuses"]]
        waiting = [one["waiting"]["message"] for one in states if "message" in one.get("waiting", {})]
        if waiting and "no patience" not in self.faults:
            raise ConfigError("the image of a TrainJob cannot be pulled", where=self.name, found=waiting[0])

    def _running(self, since: int) -> int:
        """The first step, not before `since`, at which both pods run."""
        now = self.played.step
        for step in range(since, self.played.steps):
            self.played.step = step
            there = [pod for pod in self.played.pods() if "deletionTimestamp" not in pod["metadata"]]
            if [pod["status"]["phase"] for pod in there] == ["Running"] * 2:
                break
        found, self.played.step = self.played.step, now
        return found
