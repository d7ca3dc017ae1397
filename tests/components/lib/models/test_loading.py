"""Folders that would run code when they are loaded are refused; the code is really planted."""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil

import pytest
from transformers import AutoModel

from components.lib.core.errors import DataError
from components.lib.models import loading
from tests import models
from tests.architecture.imports import ROOT, sources

CODE = "import pathlib\npathlib.Path({marker!r}).touch()\n"
LOADERS = {"from_pretrained", "torch.load", "pickle", "hf_hub_download", "snapshot_download", "load_dataset"}


@pytest.fixture
def folder(tmp_path):
    """A model as we save it, in a folder of its own."""
    return shutil.copytree(models.saved("trunk", (), 0), tmp_path / "model")


def change(folder, name="config.json", **values):
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_what_we_save_is_loaded(folder):
    assert loading.model(AutoModel, folder).num_parameters() > 0
    assert len(loading.tokenizer(folder)) > 0


def test_saving_is_quiet(folder, tmp_path, capfd):
    """A bar for a single file is noise in a log."""
    model = loading.model(AutoModel, folder)
    capfd.readouterr()
    loading.save(model, tmp_path / "again")
    assert capfd.readouterr() == ("", "") and (tmp_path / "again" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("auto_map", {"AutoModel": "evil.Model", "AutoConfig": "evil.Config"}),
        ("_attn_implementation_internal", "evil/kernel"),
        ("_attn_implementation", "evil/kernel"),
        ("trust_remote_code", True),
        ("quantization_config", {"quant_method": "evil"}),
        ("id2label", {"0": {"auto_map": "nested"}}),
        ("surprise", 1),
        ("model_type", "lightglue"),
        ("model_type", None),
        ("model_type", ["bert"]),
    ],
)
def test_a_config_that_could_run_code_is_refused(folder, tmp_path, key, value):
    (tmp_path / "evil.py").write_text(CODE.format(marker=str(tmp_path / "ran")))
    change(folder, **{key: value})
    with pytest.raises(DataError):
        loading.model(AutoModel, folder)
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_that_names_code_is_refused(folder):
    change(folder, "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    with pytest.raises(DataError, match="auto_map"):
        loading.tokenizer(folder)


class Planted:
    """Runs when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.bin", "weights.pt", "evil.py", "x.pkl"])
@pytest.mark.parametrize("alone", [True, False])
def test_pickles_and_code_are_refused_and_never_opened(folder, tmp_path, name, alone):
    marker = tmp_path / "ran"
    (folder / name).write_bytes(pickle.dumps(Planted(str(marker))))
    if alone:
        (folder / "model.safetensors").unlink()
    with pytest.raises(DataError, match="not data"):
        loading.model(AutoModel, folder)
    assert not marker.exists()


def test_models_are_loaded_in_one_place_alone():
    """No other file of the product calls what opens weights, pickles or the Hub."""
    found = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if called.split(".")[-1] in LOADERS or called in LOADERS or LOADERS & set(names):
                found.add(str(path.relative_to(ROOT)))
    assert found == {
        "components/ingestion/record_reader.py",  # payloads, from the process that reads to one that cleans
        "components/ingestion/cleaning_pool.py",  # the same: what it gets, a process of this run has pickled
        "components/lib/executors/ray.py",  # and this, for the workers of this run
        "components/lib/models/loading.py",
        "components/lib/data/sources/hf.py",
        "components/preflight/public_weights/origin.py",  # fetches files of the Hub, opens none
        "components/lib/models/branch.py",  # its own from_pretrained, behind the same checks
    }
    assert "Segmenter.from_pretrained" not in "".join(path.read_text() for path in sources())
