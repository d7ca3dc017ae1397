"""Compressions: a branch made smaller or faster, as a model of its own. One file a compression.

A compression declares

    LIBRARIES       packages that its models need where they are served, besides those of the branch
    TOOLS           packages that make them
    Config          its settings, under evaluation.compress_options.<name>

and the functions

    make(full, options, folder) -> str      writes config.json, weights and what else `load` reads to a folder
                                            that holds the files of the reader; or returns why there is none
    load(task, folder) -> model             optional: what its tasks call, where `task.load` cannot read it;
                                            it needs nothing but LIBRARIES. Nothing in the folder is executed

`compression.json` in the folder of a model names its compression; a full branch has no such file.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.lib.core import plugins

FILE = "compression.json"


@dataclass(frozen=True)
class Records:
    """Labelled records: role -> values, and labels."""

    inputs: Mapping[str, Sequence[Any]]
    labels: Sequence[Any]

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> Records:
        """At most so many."""
        return Records({role: values[:count] for role, values in self.inputs.items()}, self.labels[:count])


@dataclass(frozen=True)
class Full:
    """The branch that is compressed.

    Attributes:
        task: its module.
        folder: of its model.
        model: on the CPU, in evaluation mode.
        names: classes of its outcomes.
        learnt: training records, in a random order; none where nothing is learnt from labels.
        seen: a few other records, to see how the task calls the model.
    """

    task: Any
    folder: Path
    model: Any
    reader: Any
    names: list[str]
    learnt: Records
    seen: Records

    def encode(self, records: Records) -> Any:
        """As the task reads them."""
        return self.task.encode(self.reader, records.inputs, records.labels, self.names)


def settings(folder: Path) -> dict[str, Any]:
    """What a folder's `compression.json` says; empty of a full branch."""
    path = folder / FILE
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def lacking(says: Mapping[str, Any]) -> list[str]:
    """Packages that are not installed, of those that a compression declares."""
    return [name for name in (*says["LIBRARIES"], *says["TOOLS"]) if importlib.util.find_spec(name) is None]


def versions(says: Mapping[str, Any]) -> dict[str, str]:
    """Package -> installed version, of those that a compression's models need."""
    return {name: importlib.metadata.version(name) for name in says["LIBRARIES"]}


def load(task: Any, folder: Path) -> Any:
    """The model of a branch, full or compressed, in evaluation mode."""
    name = settings(folder).get("name")
    read = getattr(plugins.load(__name__, name), "load", None) if name else None
    return read(task, folder) if read else task.load(folder)
