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
from components.lib.models import calibration
from components.lib.models.families import FAMILIES

SUFFIXES = frozenset({".json", ".md", ".safetensors", ".txt"})
# Kept though their class has another name for them, or none: how published weights pool is ours, and at which
# temperature a branch answers.
EXTRA = frozenset(
    f"_name_or_path {calibration.SETTING} global_attn_every_n_layers global_rope_theta input_size "
    "local_rope_theta max_seq_length normalize pooling rope_scaling rope_theta".split()
)
MODALITIES = "components.lib.modalities"
# Parts of keys by which a config has had code imported, fetched or switched on.
NEVER = ("attn_implementation", "auto_map", "custom_", "kernel_config", "quantization", "remote_code")


def model(auto: Any, folder: Path, **settings: Any) -> Any:
    """The model in a folder, by one of the Auto classes, in fp32 whatever the file holds.

    Args:
        auto: the class, or another with `from_pretrained`.
        folder: config.json and safetensors.
        settings: that differ from config.json.

    Raises:
        DataError: for a folder that is not safe, or whose weights are not those of config.json.
    """
    import torch
    from transformers.utils import logging

    check(folder)
    logging.disable_progress_bar()
    safe = {"local_files_only": True, "use_safetensors": True, "trust_remote_code": False}
    return auto.from_pretrained(folder, **safe, dtype=torch.float32, **settings)


def trunk(folder: Path, **settings: Any) -> Any:
    """The bare model in a folder, as `model` loads it; without its pooling layer where that has no weights.

    Raises:
        DataError: for a folder that is not safe, or if other weights are missing or have another shape.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    logging.set_verbosity_error()  # else it reports heads that are left out, and what is checked here
    found, told = model(AutoModel, folder, output_loading_info=True, **settings)
    missing = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
    other = sorted(str(name) for name in told["mismatched_keys"])
    if missing or other:
        what, fix = "the weights are not those of config.json", "take both from one checkpoint"
        raise DataError(what, where=str(folder), found=[*missing, *other][:5], fix=fix)
    if told["missing_keys"]:
        found.pooler = None
    return found


def config(folder: Path) -> Any:
    """The settings of the network in a folder; raises DataError if the folder is not safe."""
    from transformers import AutoConfig

    check(folder)
    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def rates(folder: Path, dropout: float | None) -> dict[str, float]:
    """Settings that give the model in a folder this dropout of hidden states, and no other random masks."""
    family = FAMILIES.get(_read(folder / "config.json").get("model_type"))
    if dropout is None or family is None:
        return {}
    return {**dict.fromkeys(family.dropouts, dropout), **dict.fromkeys(family.unkeyed, 0.0)}


def head(folder: Path) -> dict[str, Any]:
    """The parts of a language model's head among the weights in a folder, by the names of `families`."""
    from safetensors import safe_open

    family = FAMILIES.get(_read(folder / "config.json").get("model_type"))
    wanted = {name: part for part, name in (family.head if family else {}).items()}
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  # not a mapping
                part = wanted.get(name.replace(".gamma", ".weight").replace(".beta", ".bias"))
                if part:
                    found[part] = file.get_tensor(name).float()
    return found


def save(model: Any, folder: Path) -> None:
    """Writes config.json and the weights; quietly, as bars of single files are noise in a log."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)


def tokenizer(folder: Path, **options: Any) -> Any:
    """The tokenizer in a folder; raises DataError for a folder that is not safe.

    By the class that takes tokenizer.json as it is: AutoTokenizer has classes by the type of the model beside
    it, which build some tokenizers anew.
    """
    from transformers import PreTrainedTokenizerFast

    check(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True, **options)


def check(folder: Path) -> None:
    """Raises DataError for what could run code; reads only JSON."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix not in SUFFIXES:
            raise _unsafe("a model's folder holds a file that is not data", path, path.name, sorted(SUFFIXES))
        if path.suffix == ".json" and path.name not in ("tokenizer.json", "vocab.json"):
            found = sorted({name for name in keys(_read(path)) if any(part in name for part in NEVER)})
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


def keys(value: Any) -> Iterator[str]:
    """The keys of all mappings in a JSON value."""
    if isinstance(value, dict):
        yield from value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(part)


def _unsafe(what: str, path: Path, found: object, expected: object) -> DataError:
    fix = "take models from pretraining, finetuning or a trusted export alone"
    return DataError(what, where=str(path), found=found, expected=expected, fix=fix)
