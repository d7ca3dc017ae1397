"""Every start keeps its contract with every task: weights in a branch, or a model of its own."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from components.lib import modalities, tasks
from components.lib.core import plugins
from components.lib.models.classifiers import fingerprint
from components.lib.starts import Origin
from components.lib.storage.artifacts import Key, Manifest
from tests import made
from tests.accelerator import DEVICE

FOLDER = "components.lib.starts"
NAMES = plugins.names(FOLDER)
CASES = [(name, *branch) for name in NAMES for branch in made.branches()]


def origin(name: str, task: str, modality: str, architecture: str) -> Origin:
    """What a start is made from: made-up tokens, a trunk of random weights that counts as published."""
    store, tokens = made.tokens(modality)
    facts = {"cpu_seconds": 3.5, "public": {"manifest": made.as_published(modality, architecture).reference}}
    trunk = Manifest(Key("pretraining", 1, {}, {"tokens": tokens.reference}), "", (), facts)
    kind = getattr(plugins.load(FOLDER, name), "Config", None)
    reading = modalities.load(modality, "settings").Finetuning()
    folder = made.trunk_folder(modality, architecture)
    return Origin(store, trunk, folder, modality, task, reading, kind and kind())


def absent(name: str, given: Origin) -> str:
    return getattr(plugins.load(FOLDER, name), "absent", lambda origin: "")(given)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_declares(name):
    declared, module = plugins.declared(FOLDER, name), plugins.load(FOLDER, name)
    assert declared.summary and type(declared.constants["WEIGHTS"]) is bool
    parts = ("folder", "prepare", "cost") if module.WEIGHTS else ("learner",)
    assert all(callable(getattr(module, part)) for part in parts)
    assert [case for case in CASES if case[0] == name and not absent(name, origin(*case))]


@pytest.mark.parametrize(("name", "task", "modality", "architecture"), CASES)
def test_what_a_start_brings_can_be_scored(name, task, modality, architecture):
    given, module = origin(name, task, modality, architecture), plugins.load(FOLDER, name)
    if why := absent(name, given):
        assert len(why) > 10 and not module.WEIGHTS
    elif module.WEIGHTS:
        _gives_weights(module, given)
    else:
        _fits(module, given)


def _gives_weights(module, given: Origin) -> None:
    """It sets weights of the trunk in the branch, and leaves the head and the trunk alone."""
    folder, plugin = module.folder(given), tasks.load(given.task)
    trunk = modalities.load(given.modality, "trunk").load(folder)
    reader = modalities.load(given.modality, "labelled").Reader.open(folder, given.reading)
    inputs, labels = made.labelled(given.task, given.modality, reader)
    names = list(plugin.classes(labels))
    torch.manual_seed(1)
    model, before = plugin.model(trunk.model.config, names), fingerprint(trunk.model)
    inside = {
        f"{place}.{key}"
        for place, it in model.named_modules()
        if it is model.base_model
        for key in it.state_dict()
    }
    was = {key: value.clone() for key, value in model.state_dict().items()}
    module.prepare(model, trunk)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, was[key])}
    held = {value.data_ptr() for value in model.base_model.state_dict().values()}
    tied = {key for key, value in model.state_dict().items() if value.data_ptr() in held}
    assert changed <= inside | tied and fingerprint(trunk.model) == before
    weights = model.base_model.state_dict()
    there = {key: value for key, value in trunk.model.state_dict().items() if key in weights}
    assert not changed or all(torch.equal(there[key], weights[key]) for key in there)
    samples = plugin.encode(reader, inputs, labels, names)
    assert plugin.outcomes(model.to(DEVICE), samples, names)
    cost = module.cost(given)
    assert cost is None or cost >= 0


def _fits(module, given: Origin) -> None:
    """The same model each time, whose outcomes are those of the task, one by one as all at once."""
    one = made.branch(given.task, given.modality, made.architectures(given.modality)[0])
    learner = pickle.loads(pickle.dumps(module.learner(given)))
    samples = learner.encode(one.inputs, one.labels, one.names)
    groups = [str(place % 12) for place in range(len(samples))]
    fitted, again = (learner.fit(samples, groups, 0) for _ in range(2))
    found, expected = fitted.outcomes(samples), one.plugin.outcomes(one.model, one.samples, one.names)
    assert {name: (len(v), np.asarray(v).dtype.kind) for name, v in found.items()} == {
        name: (len(v), np.asarray(v).dtype.kind) for name, v in expected.items()
    }
    assert all(np.array_equal(found[name], again.outcomes(samples)[name]) for name in found)
    half = np.arange(len(samples))[::-2]
    part = fitted.outcomes(samples.subset(half))
    assert all(np.allclose(part[name], np.asarray(found[name])[half]) for name in found)
    assert fitted.parameters > 0 and fitted.megabytes > 0 and fitted.note
    assert len(fitted.answer({role: values[:2] for role, values in one.inputs.items()})) >= 2
    assert one.plugin.metrics(found, np.ones((1, len(samples))), one.names)[one.plugin.PRIMARY].shape == (1,)
    alone = learner.fit(samples.subset([3]), ["3"], 0)  # nothing can be held out
    assert all(np.isfinite(np.asarray(v)).all() for v in alone.outcomes(samples).values())


def test_the_cost_of_a_trunk_is_what_was_measured():
    given = origin("trunk", *made.branches()[0])
    trunk = plugins.load(FOLDER, "trunk")
    assert trunk.cost(given) == 3.5
    assert trunk.cost(replace(given, trunk=replace(given.trunk, facts={}))) is None
    assert trunk.cost(replace(given, trunk=replace(given.trunk, measured={"cpu_seconds": 4.0}))) == 4.0
    assert plugins.load(FOLDER, "random").cost(given) == 0.0
