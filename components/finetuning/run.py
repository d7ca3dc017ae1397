"""Finetuning: registered trunk + labelled data -> branch."""

from __future__ import annotations

from pathlib import Path

from components.finetuning.config import Config
from components.lib.core.settings import to_dict
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key, canonical, sha256
from components.lib.storage.stage import Context, patient
from components.lib.storage.store import Draft

VERSION = 8


@patient
def run(config: Config, context: Context, *, registered: Path, branch: Path) -> None:
    """Writes the branch's manifest to `branch`."""
    trunk = artifacts.read(registered).key.inputs["trunk"]
    splits = {"train": config.train, "test": config.test}
    labelled = {name: _identity(split.source) for name, split in splits.items() if split is not None}
    key = Key("finetuning", VERSION, {**to_dict(config), "data": labelled}, {"trunk": trunk})

    def build(draft: Draft) -> None:
        from components.finetuning.study import study

        study(config, context, context.store.resolve(trunk), draft)

    made = context.produce(key, build, branch)
    for notice in made.facts.get("notices", ()):  # of a branch that was made before, too
        if notice not in context.notices:
            context.tell(notice)


def _identity(source: str) -> str:
    """Changes when the labelled data do; only lists, reads nothing."""
    from components.lib.data.sources import find

    return sha256(canonical([(entry.name, entry.identity) for entry in find(source)]))
