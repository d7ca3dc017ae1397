"""Models and tokenizers from folders: the one place that loads them, and nothing in a folder can run.

Weights are safetensors. Of `config.json` only kinds of models that we build are taken, and only keys that the
config of this kind knows; whatever names code to import or fetch is refused before `transformers` reads it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.lib.core import plugins
from components.lib.core.errors import DataError

SUFFIXES = frozenset({".json", ".md", ".safetensors", ".txt"})
EXTRA = frozenset({"_name_or_path", "global_attn_every_n_layers"})  # kept though their class has another name
MODALITIES = "components.lib.modalities"
# Parts of keys by which a config has had code imported, fetched or switched on.
NEVER = ("attn_implementation", "auto_map", "custom_", "kernel_config", "quantization", "remote_code")


def model(auto: Any, folder: Path) -> Any:
    """The model in a folder, by one of the Auto classes; raises DataError for a folder that is not safe."""
    from transformers.utils import logging

    check(folder)
    logging.disable_progress_bar()
    return auto.from_pretrained(folder, local_files_only=True, use_safetensors=True, trust_remote_code=False)


def save(model: Any, folder: Path) -> None:
    """Writes config.json and the weights; quietly, as bars of single files are noise in a log."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)


def tokenizer(folder: Path, **options: Any) -> Any:
    """The tokenizer in a folder; raises DataError for a folder that is not safe."""
    from transformers import AutoTokenizer

    check(folder)
    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **options)


def check(folder: Path) -> None:
    """Raises DataError for what could run code; reads only JSON."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix not in SUFFIXES:
            raise _unsafe("a model's folder holds a file that is no data", path, path.name, sorted(SUFFIXES))
        if path.suffix == ".json" and path.name not in ("tokenizer.json", "vocab.json"):
            found = sorted({name for name in _names(_read(path)) if any(part in name for part in NEVER)})
            if found:
                raise _unsafe("a model's settings name code to run", path, found, "weights and sizes alone")
    if (folder / "config.json").is_file():
        _check_config(folder / "config.json")


def _check_config(path: Path) -> None:
    values = _read(path)
    kind = values.get("model_type") if isinstance(values, dict) else None
    known = model_types()
    if not isinstance(kind, str) or kind not in known:
        raise _unsafe("a model is of no kind that is built here", path, kind, sorted(known))
    from transformers import CONFIG_MAPPING

    if kind not in CONFIG_MAPPING:
        plugins.load(MODALITIES, known[kind], "trunk")  # registers the networks of its own
    unknown = sorted(values.keys() - CONFIG_MAPPING[kind]().to_dict().keys() - EXTRA)
    if unknown:
        raise _unsafe(f"the config of a {kind} model has unknown keys", path, unknown, "those of its kind")


def model_types() -> dict[str, str]:
    """The types of models of `transformers` that some modality builds, and which: no others are loaded."""
    names = plugins.names(MODALITIES)
    return {
        kind: name for name in names for kind in plugins.declared(MODALITIES, name).constants["MODEL_TYPES"]
    }


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError("a model's settings are not JSON", where=str(path), found=error) from error


def _names(value: Any) -> Iterator[str]:
    """The keys of all mappings in a JSON value."""
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _names(part)


def _unsafe(what: str, path: Path, found: object, expected: object) -> DataError:
    fix = "take models from pretraining, finetuning or a trusted export alone"
    return DataError(what, where=str(path), found=found, expected=expected, fix=fix)
