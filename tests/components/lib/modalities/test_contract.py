"""Every modality keeps its contract in every stage, on the CPU and on the card.

The cases are the folders and the entry points, also those that were added a minute ago; each brings its data:
see tests/made.
"""

import ast
import dataclasses
import json
import re
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from mlflow.types import DataType

from components.ingestion import config as ingestion_config
from components.ingestion import run as ingestion
from components.lib import executors, modalities, tasks
from components.lib.core import plugins
from components.lib.core.errors import ConfigError, DataError
from components.lib.core.settings import from_dict
from components.lib.engine.randomness import Draw
from components.lib.engine.transfer import moved
from components.lib.models import classifiers
from components.lib.models.branch import load_trunk, pooled
from components.lib.registry.serving import Server
from components.lib.storage.artifacts import File, Key, Manifest
from components.lib.storage.stage import Context
from components.lib.storage.store import Store
from components.preflight.plan import resolve
from tests import made
from tests.accelerator import DEVICE, cpu_only

FOLDER = "components.lib.modalities"
NAMES = modalities.names()
TRUNKS = [(name, architecture) for name in NAMES for architecture in made.architectures(name)]

each = pytest.mark.parametrize("name", NAMES)
trunks = pytest.mark.parametrize(("name", "architecture"), TRUNKS)


def draw(count: int = 8) -> Draw:
    return Draw(np.arange(count), np.zeros(count, np.int64), 3)


@each
def test_what_it_declares(name):
    """As literals, so that preflight reads it where no library is installed."""
    declared, settings = plugins.declared(FOLDER, name), modalities.load(name, "settings")
    says = SimpleNamespace(**declared.constants)
    assert declared.summary and says.UNIT and says.DOCUMENT and says.OFFERS and says.FIELDS
    added = {capability for more in says.ARCHITECTURES.values() for capability in more}
    assert added.isdisjoint(says.OFFERS)
    chosen = {field.name: field for field in dataclasses.fields(settings.Pretraining)}.get("architecture")
    assert set(chosen.metadata["choices"] if chosen else ()) == set(says.ARCHITECTURES)
    for part in ("Ingestion", "Tokenization", "Pretraining", "Finetuning"):
        assert from_dict(getattr(settings, part), {}) is not None
    assert made.offering(tasks.load(says.TASK).NEEDS) and "-" in says.USE
    ast.parse(modalities.snippet(name, "a-model"))
    assert "models:/a-model@challenger" in modalities.snippet(name, "a-model")
    assert all(any(mark in pin for mark in "<>=") for pin in says.LIBRARIES)
    assert says.INPUT.removesuffix("[]") in DataType.__members__


@cpu_only
@each
def test_every_task_and_objective_that_it_offers_for_has_made_up_data(name):
    (record,) = made.records(name, 1)
    for task in plugins.names(made.TASKS):
        if name in dict(made.offering(tasks.load(task).NEEDS)):
            assert set(made.fields(task, name).values()) <= set(record), "tests/made has no examples of it"


@cpu_only
@each
def test_ingestion_conserves_records_and_explains_itself(name, tmp_path):
    """A copy, an evaluation record and a broken one: kept, dropped and quarantined add up."""
    rows = [*made.records(name), made.records(name)[0], made.records(name, 1, seed=7)[0], {"nothing": 1}]
    source = tmp_path / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = made.ingestion_settings(name, str(source))
    evaluation = {"source": made.source(name, 1, seed=7)}
    config = ingestion_config.configured({**settings, "decontaminate": [evaluation], "quarantine": 0.5})
    context = Context(Store(str(tmp_path / "store")), stage="ingestion")
    paths = {"corpus": tmp_path / "corpus.json", "card": tmp_path / "card.html"}
    corpus = ingestion.run(config, context, **paths)
    facts = corpus.facts
    assert facts["read"] == len(rows) and facts["quarantined"] == 1
    assert facts["read"] == sum(facts["documents"].values()) + sum(facts["dropped"].values()) + 1
    assert facts["dropped"]["exact_duplicate"] >= 1 and facts["dropped"]["contaminated"] >= 1
    plugin = modalities.load(name, "ingestion")
    shown = {"near_duplicates": config.near_duplicates, **plugin.shown(config.own)}
    assert plugin.contaminated(shown)[:20] in paths["card"].read_text()
    assert json.dumps([plugin.identity(config.own, True), plugin.indexed(config.own, config.fields)])
    (shard, *_) = corpus.names("train-", ".parquet")
    table = pq.read_table(context.store.open(corpus, shard))
    row = table.to_pylist()[0]
    payload = tuple(row[column] for column in plugin.COLUMNS.payload)
    assert len(plugin.excerpt(payload)) == len(payload) == len(plugin.COLUMNS.payload)
    assert set(plugin.COLUMNS.totals) <= set(plugin.COLUMNS.measures) >= set(plugin.COLUMNS.lengths)
    assert isinstance(plugin.sample(row, facts), str) and len(plugin.excerpts(table)) == len(table)
    assert modalities.load(name, "page").figures(facts) is not None


@cpu_only
@each
def test_tokens_hold_what_later_stages_rely_on(name):
    store, tokens = made.tokens(name)
    assert set(modalities.load(name).SHARED) <= set(tokens.facts)
    title, table = modalities.load(name, "page").tokens(tokens.facts)
    assert title and table and None not in table.values()
    options = from_dict(modalities.load(name, "settings").Tokenization, made.of(name).TOKENIZATION)
    executor = executors.start("processes", "", 1, "tokenization")
    first, second = (modalities.load(name, "tokenization").plan(options, executor)[0] for _ in range(2))
    assert first == second and json.dumps(first)
    empty = dataclasses.replace(tokens, files=tuple(f for f in tokens.files if "validation" not in f.name))
    with pytest.raises(DataError, match="no samples"):
        made.open_split(name, "", store, empty, split="validation")


@cpu_only
@each
def test_samples_are_numbered_the_new_ones_first(name):
    store, tokens = made.tokens(name)
    one, two = (
        made.open_split(name, "", store, *manifests)
        for manifests in ([tokens], [tokens, dataclasses.replace(tokens)])
    )
    assert len(two) == 2 * len(one) and one.fresh == two.fresh == len(one)
    for again in (made.open_split(name, "", store, tokens), two):
        assert _tensors(again.view(draw(), "x"), again) == _tensors(one.view(draw(), "x"), one)


def _tensors(view, samples):
    """What a trunk makes of a view: how it holds its data is the modality's business."""
    torch.manual_seed(0)
    trunk = samples.trunk().eval()
    with torch.no_grad():
        return trunk.pool(trunk(view), view).tolist()


@trunks
def test_a_trunk_is_kept_and_reads_the_same_where_it_is_loaded(name, architecture, tmp_path):
    samples = made.open_samples(name, architecture)
    torch.manual_seed(0)
    trunk = samples.trunk().to(DEVICE).eval()
    assert trunk.model.config.model_type in modalities.load(name).MODEL_TYPES
    trunk.save(tmp_path)
    loaded = modalities.load(name, "trunk").load(tmp_path).to(DEVICE).eval()
    views = [samples.view(draw(), "x")]
    views += samples.views(draw(), 2) if "views" in modalities.load(name).OFFERS else []
    for view in (moved(view, DEVICE) for view in views):
        with torch.no_grad():
            ours, theirs = (one.pool(one(view), view) for one in (trunk, loaded))
        assert torch.equal(ours, theirs) and ours.shape == (8, trunk.width)
        assert view.slots >= view.real > 0 and view.flops > 0


@trunks
def test_a_trunk_is_served_as_vectors(name, architecture, tmp_path):
    folder = made.trunk_folder(name, architecture)
    reader_of = modalities.load(name, "labelled").Reader
    reader = reader_of.open(folder, modalities.load(name, "settings").Finetuning())
    reader.check(made.tokens(name)[1].facts, "here")
    role, example = next(iter(modalities.load(name).FIELDS)), made.example(name)
    (value,) = reader.served([example], role)
    assert len(reader.identity({role: value})) == 32 and reader.identity({role: value}) == reader.identity(
        {role: reader.served([example], role)[0]}
    )
    shown = reader.excerpt(value)
    assert set(shown) <= {"text", "picture"} and all(isinstance(text, str) for text in shown.values())
    model = load_trunk(folder).to(DEVICE)
    with torch.no_grad():
        expected = pooled(model, moved(reader_of.open(folder).tensors([value] * 3), DEVICE))
    server, module = Server(), plugins.module(FOLDER, name)
    options = {"modality": module, "task": "", "inputs": [role]}
    server.load_context(SimpleNamespace(model_config=options, artifacts={"model": str(folder)}))
    server.model.to(DEVICE)
    found = server.predict(None, [example] * 3)
    assert found.dtype == np.float64 and np.allclose(found, expected.cpu().numpy(), atol=1e-6)
    reader.save(tmp_path)


@cpu_only
@trunks
def test_preflight_resolves_a_run_and_knows_its_layers(name, architecture, tmp_path, monkeypatch):
    """Every hook of its `preflight` is asked: of a task, of the training, of a trunk to go on from."""
    monkeypatch.setenv("TRUNKLINE_PRESETS", str(tmp_path))
    (tmp_path / "made.yaml").write_text(yaml.safe_dump(made.preset(name, architecture)))
    plan = resolve("made", {})
    assert [task["name"] for task in plan.tasks] and plan.stages["pretraining"]["modality"] == name
    assert resolve("made", {"pretraining.micro_batch": 16}).warnings is not None
    hooks = modalities.preflight(name)
    dials = modalities.dials(name, made.trunk_settings(name, architecture))
    trunk = made.trunk_folder(name, architecture)
    paths = (path.relative_to(trunk) for path in trunk.rglob("*"))
    files = tuple(File(f"model/{path}", 1, "0") for path in paths)
    manifest = Manifest(Key("pretraining", 1, {}), "file:///trunk", files)
    if hasattr(hooks, "follow"):
        known = {field.name for field in dataclasses.fields(modalities.load(name, "settings").Tokenization)}
        assert hooks.follow(manifest) and set(hooks.follow(manifest)) <= known
    if hasattr(hooks, "layers") and hooks.layers(dials):
        task = next(case[0] for case in made.branches() if case[1:] == (name, architecture))
        model = made.branch(task, name, architecture).model
        classifiers.freeze(model, 1)
        free = [key for key, weight in model.base_model.named_parameters() if weight.requires_grad]
        assert {int(re.search(r"\d+", key)[0]) for key in free} == {hooks.layers(dials) - 1}, "the last layer"
        classifiers.freeze(model, hooks.layers(dials))
        with pytest.raises(ConfigError, match="fewer layers"):
            classifiers.freeze(model, hooks.layers(dials) + 1)
