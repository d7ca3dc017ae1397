"""A branch's outcomes on a table of examples, as evaluation has them."""

from pathlib import Path

import pyarrow as pa

from components.evaluation.outcomes import Columns
from components.evaluation.system import System
from components.lib import tasks


def score(folder: Path, kind: str, examples: pa.Table, size: int = 64, classes: bool = True) -> Columns:
    task = tasks.load(kind)
    modality = "image" if "image" in task.NEEDS else "text"
    labels = examples.column("label").to_pylist()
    facts = {"kind": kind, "modality": modality, "classes": classes}
    inputs = {role: examples.column(role).to_pylist() for role in tasks.inputs_of(task.ROLES)}
    return System.load(folder, facts, labels).score(inputs, labels, size)
