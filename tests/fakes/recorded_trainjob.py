"""A TrainJob as a real cluster showed it: each look at it is one step further in its recording."""

import copy
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RECORDINGS = json.loads((Path(__file__).parent / "recordings" / "trainjobs.json").read_text())


class RecordedTrainJob:
    """States of a TrainJob, its JobSet, pods and events, side by side; the last ones stay.

    Args:
        case: a key of recordings/trainjobs.json.
        name: of the TrainJob that takes the place of the recorded one.

    Attributes:
        limit: the step at which it rests, if there is one.
    """

    def __init__(self, case: str, name: str) -> None:
        self.limit: int | None = None
        self.case, self.name, self.recording = case, name, RECORDINGS[case]
        self.step, self.steps = 0, max(len(states) for states in self.recording.values())
        self.begin = time.time()

    def look(self) -> dict[str, Any]:
        """The status at this step; the next one is a step further."""
        status = self._until("TrainJob")[-1]
        self.step = min(self.step + 1, self.steps - 1 if self.limit is None else self.limit)
        return copy.deepcopy(status or {})

    def pods(self) -> list[dict[str, Any]]:
        """Bodies of the pods that are there."""
        there: dict[str, dict[str, Any]] = {}
        for seen in self._until("Pod"):
            there.pop(seen["name"], None)
            if seen["event"] != "DELETED":
                there[seen["name"]] = seen
        return [self._pod(place, seen) for place, seen in enumerate(there.values())]

    def events(self) -> list[dict[str, Any]]:
        """Events, in the order in which they came."""
        found = []
        for number, seen in enumerate(self._until("Event")):
            of, facts = seen["of"], {part: seen[part] for part in ("type", "reason", "message")}
            involved = {"kind": of["kind"], "name": "-".join(filter(None, (self.name, of["name"])))}
            metadata = {"name": f"{self.name}.{number}", "creationTimestamp": self._second(number)}
            found.append({"metadata": metadata, "involvedObject": involved, "count": 1, **facts})
        return found

    def _pod(self, place: int, seen: dict[str, Any]) -> dict[str, Any]:
        index = seen["name"].split("-")[1]
        generations = dict.fromkeys(one["name"] for one in self.recording["Pod"])
        same = [name for name in generations if name.split("-")[1] == index]
        labels = labels_of(self.name, index, same.index(seen["name"]))
        metadata = {
            "name": f"{self.name}-node-{seen['name']}",
            "labels": labels,
            "creationTimestamp": self._second(place),
        }
        if seen["deleted"]:
            metadata["deletionTimestamp"] = self._second(place)
        image = {"image": "x", "imageID": "x"}
        status = copy.deepcopy(seen["status"])
        for container in status["containerStatuses"]:
            container |= image
        return {"metadata": metadata, "spec": {"containers": [{"name": "node"}]}, "status": status}

    def _second(self, number: int) -> str:
        return datetime.fromtimestamp(self.begin + number, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _until(self, kind: str) -> list[Any]:
        """What the watch of a kind had brought by now; kinds were recorded apart, so in equal shares."""
        states = self.recording[kind]
        return list(states[: 1 + round((len(states) - 1) * self.step / max(1, self.steps - 1))])


def labels_of(name: str, index: object, attempt: int = 0) -> dict[str, str]:
    """Labels of a pod of a TrainJob, by which pods are found; JobSet counts how often it made them anew."""
    return {
        "jobset.sigs.k8s.io/jobset-name": name,
        "jobset.sigs.k8s.io/replicatedjob-name": "node",
        "jobset.sigs.k8s.io/restart-attempt": str(attempt),
        "batch.kubernetes.io/job-completion-index": str(index),
        "batch.kubernetes.io/job-name": f"{name}-node-0",
    }
