"""Files of a trunk's manifest: model, reader, loss history."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from components.lib.engine.losses import Row
from components.lib.storage.store import Draft


def write(draft: Draft, save: Callable[[Path], None], reader: Path, history: Sequence[Row]) -> None:
    """Adds the folder `model`, by what saves the weights there, with the files of what reads their inputs."""
    save(draft.folder / "model")
    shutil.copytree(reader, draft.folder / "model", dirs_exist_ok=True)
    draft.write("history.jsonl", "".join(json.dumps(row) + "\n" for row in history))
    for path in sorted(path for path in (draft.folder / "model").rglob("*") if path.is_file()):
        draft.add(path.relative_to(draft.folder).as_posix())
