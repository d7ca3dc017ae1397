"""What a launcher tells the training processes: one JSON object in a place that all of them can read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from components.lib.storage import objects
from components.lib.storage.artifacts import Key

NAME = "job.json"


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        store: where tokens, checkpoints and the trunk are.
        key: of the trunk; its digest also names the checkpoints.
        tokens: reference of the manifest of tokens.
        config: the settings of pretraining.
        run: what the context says of the run, for tracking.
    """

    store: str
    key: Key
    tokens: str
    config: dict[str, Any]
    run: dict[str, Any]

    @property
    def checkpoints(self) -> str:
        """The folder of the checkpoints in the store."""
        return f"checkpoints/{self.key.stage}/{self.key.digest}"

    def write(self, place: str) -> None:
        """Puts the job into `place`, a folder or s3://bucket/prefix."""
        objects.connect(place).write(NAME, json.dumps(asdict(self)).encode())


def read(place: str) -> Job:
    """The job that was written to `place`; raises MissingError."""
    raw = json.loads(objects.connect(place).read(NAME))
    return Job(**{**raw, "key": Key(**raw["key"])})
