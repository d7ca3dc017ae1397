"""Trunks from published weights: adopted byte for byte, or trained on, with their own tokenizer or canvas."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from components.lib import modalities
from components.lib.core.errors import ConfigError, DataError
from components.lib.starts import Origin, public
from components.lib.storage import artifacts
from components.lib.storage.artifacts import Manifest
from components.lib.storage.lineage import ancestors
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.preflight.public_weights.keeping import obtain
from components.pretraining.config import Config
from components.pretraining.run import run
from components.tokenization import config as tokenization_config
from components.tokenization import run as tokenization
from tests import made
from tests.made import published

MINE = {"text": {"sequence_length": 24, "unit": "document"}, "image": {}, "audio": {}}


def trained(folder: Path, hub: Path, modality: str, **settings: object) -> tuple[Store, Manifest]:
    """A trunk whose run started from the checkpoint in `hub`."""
    store, tokens = made.tokens(modality)
    weights, _ = obtain(store, f"{hub}/", modality)
    corpus = store.resolve(tokens.key.inputs["corpus"])
    corpus.write(folder / "corpus.json")
    options = {"modality": modality, "workers": 1, "unknown": 1.0} if modality == "text" else {}
    options |= {"modality": modality, "workers": 1, **modalities.preflight(modality).follow(weights)}
    context = Context(store, stage="tokenization")
    tokenization.run(
        tokenization_config.configured(options),
        context,
        corpus=folder / "corpus.json",
        tokens=folder / "tokens",
    )
    usual = {"objective": {"contrastive": {}}, "steps": 2, "global_batch": 16, "threads": 1}
    start = {"modality": modality, "trunk": MINE[modality], "start": weights.reference}
    config = Config(**{**start, **usual, **settings})
    run(config, Context(store, stage="pretraining"), tokens=folder / "tokens", trunk=folder / "trunk")
    return store, artifacts.read(folder / "trunk")


@pytest.mark.parametrize("kind", published.TEXT)
def test_text_weights_are_trained_on(tmp_path, kind):
    hub = published.text(tmp_path / "hub", kind)
    objective = "causal_lm" if kind in published.CAUSAL else "masked_lm"
    store, trunk = trained(tmp_path, hub, "text", objective={objective: {}, "contrastive": {"weight": 0.1}})
    assert trunk.facts["architecture"] == trunk.facts["public"]["model_type"] == kind
    assert "public" in ancestors(store, trunk)
    folder = store.open_folder(trunk, "model/")
    before = modalities.load("text", "trunk").load(Path(hub)).model.state_dict()
    after = modalities.load("text", "trunk").load(folder).model.state_dict()
    moved = [not torch.equal(before[name], after[name]) for name in before]
    assert before.keys() == after.keys() and any(moved)
    reader = modalities.load("text", "labelled").Reader.open(folder)
    reader.check(store.resolve(trunk.key.inputs["tokens"]).facts, "here")
    assert reader.length == 64  # of RoBERTa's 66 rows, of which positions skip two


@pytest.mark.parametrize("kind", published.IMAGE)
def test_image_weights_are_trained_on(tmp_path, kind):
    store, trunk = trained(tmp_path, published.image(tmp_path / "hub", kind), "image")
    assert trunk.facts["architecture"] == kind and trunk.facts["public"]["license"] == "unknown"
    reader = modalities.load("image", "labelled").Reader.open(store.open_folder(trunk, "model/"))
    assert (reader.canvas.height, reader.canvas.width) == (published.SIDE, published.SIDE)


@pytest.mark.filterwarnings("ignore:Support for mismatched")  # of torch, about WavLM's own masks
@pytest.mark.parametrize("kind", ["wav2vec2", "hubert-large", "wavlm"])
def test_speech_weights_are_trained_on(tmp_path, kind):
    store, trunk = trained(
        tmp_path, published.audio(tmp_path / "hub", kind), "audio", objective={"wav2vec2": {}}
    )
    assert trunk.facts["architecture"] == kind.partition("-")[0]
    reader = modalities.load("audio", "labelled").Reader.open(store.open_folder(trunk, "model/"))
    assert reader.processor.rate == 16_000 and reader.processor.padded == kind.endswith("large")


@pytest.mark.parametrize("modality", ["text", "image", "audio"])
def test_without_a_step_the_weights_are_adopted_byte_for_byte(tmp_path, modality):
    make = {"text": ("bert", published.text), "image": ("vit", published.image)}
    make = {**make, "audio": ("wav2vec2", published.audio)}[modality]
    hub = make[1](tmp_path / "hub", make[0])
    store, trunk = trained(tmp_path, hub, modality, steps=0)
    assert trunk.facts["steps"] == 0 and trunk.facts["loss"] == {} and "cpu_seconds" not in trunk.measured
    assert trunk.file("model/model.safetensors").sha256 == artifacts.sha256_of(hub / "model.safetensors")
    one = modalities.load(modality, "trunk").load(store.open_folder(trunk, "model/"))
    assert sum(weight.numel() for weight in one.parameters()) == trunk.facts["parameters"]


@pytest.mark.parametrize("narrow", [torch.float16, torch.bfloat16])
def test_narrow_weights_in_parts_become_fp32(tmp_path, narrow):
    hub = published.text(tmp_path / "hub", "roberta")
    tensors = {name: tensor.to(narrow) for name, tensor in load_file(hub / "model.safetensors").items()}
    (hub / "model.safetensors").unlink()
    table = {name: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, name in enumerate(sorted(tensors))}
    for shard in set(table.values()):
        save_file(
            {name: t for name, t in tensors.items() if table[name] == shard}, hub / shard, {"format": "pt"}
        )
    (hub / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
    store, trunk = trained(tmp_path, hub, "text", steps=0)
    kept = load_file(store.open(trunk, "model/model.safetensors"))
    assert {tensor.dtype for tensor in kept.values()} == {torch.float32}
    assert all(torch.equal(kept[name], tensor.float()) for name, tensor in tensors.items() if name in kept)


@pytest.mark.parametrize("learns", ["states", "vectors"])
def test_a_small_trunk_learns_from_published_weights(tmp_path, learns):
    """The teacher is in the lineage, and neither in the weights nor in what is told of them."""
    hub = published.text(tmp_path / "hub", "bert")
    weights, _ = obtain(made.tokens("text")[0], f"{hub}/", "text")
    objective = {"distillation": {"teacher": weights.reference, "learns": learns}}
    small = {"architecture": "bert", "size": "nano", **MINE["text"]}
    store, trunk = trained(tmp_path, hub, "text", start="", objective=objective, trunk=small, steps=6)
    assert trunk.key.inputs["teacher-distillation"] == weights.reference
    assert ancestors(store, trunk)["public"] == weights and "public" not in trunk.facts
    rows = [json.loads(row) for row in store.open(trunk, "history.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert losses[-1] < losses[0]
    objective["distillation"]["teacher"] = "champion"
    with pytest.raises(ConfigError, match="not a reference"):
        trained(tmp_path, hub, "text", start="", objective=objective, trunk=small)


def test_a_tensor_that_is_missing_is_told(tmp_path):
    hub = published.text(tmp_path / "hub", "bert")
    tensors = load_file(hub / "model.safetensors")
    lost = "encoder.layer.1.output.dense.weight"
    save_file({n: t for n, t in tensors.items() if n != lost}, hub / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match="not those of config") as raised:
        trained(tmp_path, hub, "text", steps=0)
    assert lost in raised.value.found


def test_the_start_public_is_the_checkpoint_with_the_reader_of_the_trunk(tmp_path):
    hub = published.text(tmp_path / "hub", "mpnet")
    store, trunk = trained(tmp_path, hub, "text")
    origin = Origin(store, trunk, store.open_folder(trunk, "model/"), "text", "sequence_classification")
    folder = public.folder(origin)
    assert public.absent(origin) == "" and public.cost(origin) is None
    assert np.array_equal(
        load_file(folder / "model.safetensors")["encoder.layer.0.attention.attn.q.weight"],
        load_file(hub / "model.safetensors")["encoder.layer.0.attention.attn.q.weight"],
    )
    reader = modalities.load("text", "labelled").Reader.open(folder)
    reader.check(store.resolve(trunk.key.inputs["tokens"]).facts, "here")
