"""What each start brings to a study: weights or a learner, and the examples as it reads them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from components.finetuning.config import STARTS, Config
from components.finetuning.labelled import Frozen, Split
from components.lib import modalities, tasks
from components.lib.core import plugins
from components.lib.core.settings import from_dict
from components.lib.engine.threads import one_thread
from components.lib.starts import Learner, Origin


@dataclass(frozen=True)
class Material:
    """What a start brings to the runs of a study.

    Attributes:
        source: the folder of its weights; or its learner, where it has none.
        train, test: the examples as its reader, or its learner, encodes them.
        pretraining: CPU-seconds behind it before it sees a label; None where nobody knows.
        encoding: CPU-seconds that it takes to encode an example.
    """

    source: Path | Learner
    train: Any
    test: Any
    pretraining: float | None = 0.0
    encoding: float = 0.0


@dataclass
class Materials:
    """Of all starts of a study.

    Args:
        reader: of the registered trunk's folder.
        data: of which `seen` is what some run learns from.

    Attributes:
        starts: by name, in the order of the settings.
        left_out: start -> why the modality or the task has none.
    """

    config: Config
    origin: Origin
    reader: Any
    data: Frozen
    seen: Split
    starts: dict[str, Material] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    _read: dict[Path, Material] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in self.config.starts:
            start, where = plugins.load(STARTS, name), f"finetuning.start_options.{name}"
            kind = getattr(start, "Config", None)
            options = kind and from_dict(kind, self.config.start_options.get(name, {}), where)
            origin = replace(self.origin, options=options)
            if why := getattr(start, "absent", lambda origin: "")(origin):
                self.left_out[name] = why
            elif start.WEIGHTS:
                found = self._weights(start.folder(origin))
                self.starts[name] = replace(found, pretraining=start.cost(origin))
            else:
                with one_thread():  # more of them round otherwise
                    begun = time.process_time()
                    learner = start.learner(origin)
                    took = time.process_time() - begun
                    self.starts[name] = replace(self._encoded(learner, learner.encode), pretraining=took)

    def _weights(self, folder: Path) -> Material:
        """Examples by the reader in a folder; once for all starts whose network and reader it is."""
        if folder not in self._read:
            reader, task = self.reader, tasks.load(self.config.kind)
            if folder != self.origin.folder:
                labelled = modalities.load(self.config.modality, "labelled")
                reader = labelled.Reader.open(folder, self.origin.reading)

            def encode(inputs: Any, labels: Any, names: list[str]) -> Any:
                return task.encode(reader, inputs, labels, names)

            self._read[folder] = self._encoded(folder, encode)
        return self._read[folder]

    def _encoded(self, source: Any, encode: Callable[..., Any]) -> Material:
        begun, seen, test = time.process_time(), self.seen, self.data.test
        parts = [encode(part.inputs, part.labels, self.data.classes) for part in (seen, test)]
        each = (time.process_time() - begun) / max(1, len(seen) + len(test))
        return Material(source, parts[0], parts[1], encoding=each)
