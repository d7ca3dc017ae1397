"""Published weights as a trunk, as they are: no step is taken."""

from __future__ import annotations

import shutil
from pathlib import Path

from components.lib import modalities
from components.lib.core.settings import from_dict
from components.lib.storage.artifacts import Manifest
from components.lib.storage.store import Draft, Store
from components.pretraining import output, warm_start
from components.pretraining.config import Config

WEIGHTS = "*.safetensors*"  # and the index of several


def adopt(config: Config, store: Store, tokens: Manifest, draft: Draft) -> None:
    """Fills the draft: the weights byte for byte, or in fp32 if they are narrower, and the reader's files.

    Raises:
        ConfigError, DataError: if the weights cannot read the tokens, or are not those of their settings.
    """
    settings = modalities.load(config.modality, "settings").Pretraining
    options = from_dict(settings, config.trunk, "pretraining.trunk")
    samples = modalities.load(config.modality, "samples").open_split(options, store, tokens, "validation")
    trunk = warm_start.trunk(store, config.start, samples)
    source = store.open_folder(store.resolve(config.start), "model/")
    public = warm_start.published(store, config.start)

    def copy(target: Path) -> None:
        trunk.model.config.save_pretrained(target)
        for path in source.glob(WEIGHTS):
            shutil.copyfile(path, target / path.name)

    draft.facts = {
        "modality": config.modality,
        "architecture": trunk.model.config.model_type,
        "parameters": sum(parameter.numel() for parameter in trunk.parameters()),
        "objective": {},
        "steps": 0,
        "samples": 0,
        "loss": {},
        "public": public,
    }
    save = copy if public["types"] == ["F32"] else trunk.save
    output.write(draft, save, store.open_folder(tokens, "tokenizer/"), [])
