"""Pretraining: tokens -> trunk."""

from __future__ import annotations

from pathlib import Path

from components.lib.core.settings import to_dict
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Key
from components.lib.storage.lineage import REFERENCE
from components.lib.storage.stage import Context, patient
from components.pretraining.config import MECHANICS, Config

VERSION = 5


@patient
def run(config: Config, context: Context, *, tokens: Path, trunk: Path) -> dict[str, float]:
    """Writes the trunk's manifest to `trunk`; resumes from the last checkpoint of a killed run.

    Returns:
        The last losses, for the UI.
    """
    source = artifacts.read(tokens)
    unused = {*MECHANICS, "steps" if config.minutes else "minutes"}
    unused |= set() if config.start else {"start", "replay"}
    identity = {name: value for name, value in to_dict(config).items() if name not in unused}
    start = {"start": config.start} if REFERENCE.fullmatch(config.start) else {}
    teachers = {
        f"teacher-{name}": options["teacher"]
        for name, options in config.objective.items()
        if REFERENCE.fullmatch((options or {}).get("teacher", ""))
    }
    key = Key("pretraining", VERSION, identity, {"tokens": source.reference, **start, **teachers})

    def make() -> None:
        if not config.steps and not config.minutes:
            from components.pretraining.adoption import adopt

            with context.store.draft(key) as draft:
                adopt(config, context.store, source, draft)
                draft.commit()
            return
        from components.pretraining.launch import launch

        launch(config, context, source, key)

    manifest = context.obtain(key, make, trunk)
    for notice in manifest.measured.get("notices", ()):  # of the training processes
        context.tell(notice)
    return {f"{name}_loss": value for name, value in manifest.facts["loss"].items()}
