"""Every objective keeps its contract, on every trunk that offers what it needs, on the CPU and on the card.

The cases are the files of the folder and the entry points, also those that were added a minute ago.
"""

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch

from components.lib import modalities
from components.lib.core import plugins
from components.lib.core.errors import Interrupted
from components.lib.core.settings import from_dict
from components.lib.data import images
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.distributed import World
from components.lib.engine.guard import Guard
from components.lib.engine.loop import Run
from components.lib.engine.losses import Table, measure
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import HeldOut, Plan
from components.lib.engine.trainable import Loss, WeightedSum
from components.lib.engine.transfer import moved
from components.lib.storage.artifacts import Key
from components.lib.storage.objects import connect
from components.lib.storage.store import Store
from components.pretraining import pictures
from tests import made
from tests.accelerator import DEVICE, cpu_only, no_sync
from tests.components.lib.engine.toys import stopped, train_until
from tests.made.in_memory import draw

FOLDER = "components.lib.objectives"
NAMES = plugins.names(FOLDER)
CASES = [(name, *pair) for name in NAMES for pair in made.offering(plugins.load(FOLDER, name).NEEDS)]
USUAL = [(name, *pair) for name in NAMES for pair in made.usual(plugins.load(FOLDER, name).NEEDS)]
ALONE = World(0, 1, DEVICE)

each = pytest.mark.parametrize(("name", "modality", "architecture"), CASES)


def build(name: str, modality: str, architecture: str, options: dict | None = None):
    """Samples, trunk and objective, with the same weights each time."""
    samples = made.open_samples(modality, architecture)
    torch.manual_seed(0)
    trunk = samples.trunk()
    return samples, trunk, build_on(trunk, name, options or {}).to(DEVICE)


def build_on(trunk, name: str, options: dict):
    module = plugins.load(FOLDER, name)
    return module.Objective(from_dict(module.Config, options), trunk)


def model_of(*case: str):
    samples, trunk, objective = build(*case)
    return samples, trunk, WeightedSum({case[0]: objective}, {case[0]: 1.0})


def losses_of(model: WeightedSum, batches) -> list[Loss]:
    return [loss for phase in model.phases() for loss in model(batches, phase)]


def backward(losses: list[Loss]) -> None:
    torch.stack([loss.total for loss in losses]).sum().backward()


@pytest.mark.parametrize("name", NAMES)
def test_what_it_declares(name):
    declared = plugins.declared(FOLDER, name)
    assert declared.summary and declared.config is not None and from_dict(declared.config, {})
    assert [case for case in CASES if case[0] == name], "no trunk offers what it needs"
    assert isinstance(declared.constants.get("WHOLE_BATCH", False), bool)


@each
def test_a_pass_is_a_function_of_samples_and_seed_and_reaches_every_weight_of_the_trunk(
    name, modality, architecture
):
    """Without a wait: nothing is left on the host, read from the device or copied to it on the way.

    The first pass may put constants on the device.
    """
    values = []
    for _ in range(2):
        samples, trunk, model = model_of(name, modality, architecture)
        prepared = model.prepare(samples, draw())
        table, batches, guard = Table(model), moved(prepared, DEVICE), Guard(1, 3.0, DEVICE)
        weights = table.weights(prepared).to(DEVICE)
        with no_sync() if values else nullcontext():
            losses = losses_of(model, batches)
            backward(losses)
            gradients = [p.grad for p in model.parameters() if p.grad is not None]
            bad = guard.judge(0, torch.nn.utils.get_total_norm(gradients))
            sums = table.of(losses, weights)
        assert not bad and all(loss.total.ndim == 0 and loss.weight > 0 for loss in losses)
        assert weights.tolist() == [loss.weight for loss in losses]  # known before the pass
        assert [tuple(loss.parts) for loss in losses] == [entry.parts for entry in table.entries]
        values.append(table.named(sums))
    assert values[0] == values[1] and np.isfinite([*values[0].values()]).all()
    unused = {"pooler.dense.weight", "pooler.dense.bias"}  # of BERT, for its own classifier
    weights = {name: p.grad for name, p in trunk.model.named_parameters() if name not in unused}
    assert [name for name, grad in weights.items() if grad is None or not grad.abs().sum() > 0] == []


@each
def test_validation_and_pictures_are_made_where_the_model_is(name, modality, architecture, tmp_path):
    """Signs of collapse are parts of the loss; what modality and objective draw are PNG files."""
    samples, trunk, model = model_of(name, modality, architecture)
    held_out = HeldOut(samples, (draw(8, training=False), draw(5, training=False)))
    first, second = (Table(model).named(measure(model, held_out, "fp32", ALONE)) for _ in range(2))
    assert first == second and np.isfinite([*first.values()]).all() and model.training
    with Store(str(tmp_path)).draft(Key("pretraining", 1, {})) as draft:
        pictures.write(draft, model, trunk, samples, seed=0)
        manifest = draft.commit()
    assert "notices" not in manifest.measured
    drawn = [name for name in manifest.names("pictures/") if name.endswith(".png")]
    assert bool(drawn) == (hasattr(samples, "pictures") or hasattr(model.terms[name], "pictures"))
    for file in drawn:
        assert min(images.decode(draft.store.open(manifest, file).read_bytes()).shape[:2]) > 8


@each
def test_what_moves_after_a_step_has_no_gradient_and_is_kept(name, modality, architecture):
    _, _, model = model_of(name, modality, architecture)
    trained = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    with torch.no_grad():  # as a step would
        for parameter in (p for p in model.parameters() if p.requires_grad):
            parameter.add_(0.01)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    model.after_step(0, 10)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, kept[key])}
    assert changed.isdisjoint(trained) and bool(changed) == hasattr(model.terms[name], "after_step")
    owned = [id(parameter) for phase in model.phases().values() for parameter in phase.parameters]
    assert sorted(owned) == sorted(id(p) for p in model.parameters() if p.requires_grad)


@cpu_only
@each
def test_bf16_is_near_fp32(name, modality, architecture):
    samples, _, model = model_of(name, modality, architecture)
    batches = model.prepare(samples, draw())
    exact = losses_of(model, batches)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = losses_of(model, batches)
    backward(rough)
    for one, other in zip(exact, rough, strict=True):
        assert other.total.dtype == torch.float32
        assert other.total.item() == pytest.approx(one.total.item(), rel=0.1, abs=0.1 * one.weight)


@cpu_only
@pytest.mark.parametrize(("name", "modality", "architecture"), USUAL)
def test_learns_a_batch_by_heart(name, modality, architecture):
    """Of two players that each undo what the other learns, the loss need not stay low."""
    samples, _, model = model_of(name, modality, architecture)
    plan = Plan(Schedule("wsd", 3e-3, 80, 0.1), weight_decay=0.0, quiet=True, report_every=1)
    run = Run(model, samples, Order(8, 8, seed=0), plan, ALONE)

    def learnt() -> bool:
        losses = [row["loss"] for row in run.history]
        means = np.convolve(losses, np.full(5, 0.2), "valid")
        return (means.min() if len(model.phases()) > 1 else means[-1]) < 0.75 * losses[0]

    train_until(run, learnt)
    assert learnt()


@cpu_only
@pytest.mark.parametrize(("name", "modality", "architecture"), USUAL)
def test_is_resumed_to_the_bit(name, modality, architecture, tmp_path):
    ended = []
    for folder, stop in (("whole", 0), ("parts", 2), ("parts", 0)):
        samples, _, model = model_of(name, modality, architecture)
        plan = Plan(Schedule("cosine", 1e-3, 4, 0.1), quiet=True, report_every=3)
        checkpoints = Checkpoints(connect(str(tmp_path / folder)), "checkpoints/x", {"name": name})
        run = Run(model, samples, Order(len(samples), 8, seed=0), plan, ALONE, checkpoints=checkpoints)
        with pytest.raises(Interrupted) if stop else nullcontext():
            ended.append(((stopped(run, stop) if stop else run).train(), model.state_dict()))
    (history, weights), (resumed, others) = ended
    assert resumed == history
    assert [name for name, weight in weights.items() if not torch.equal(weight, others[name])] == []


READERS = [name for name in NAMES if hasattr(plugins.load(FOLDER, name).Objective, "read")]


@pytest.mark.parametrize("names", [READERS, READERS[::-1]], ids=" ".join)
def test_those_that_share_a_pass_have_the_losses_of_passes_of_their_own(names):
    samples, trunk, first = build(names[0], "text", "bert")
    terms = {names[0]: first, **{name: build_on(trunk, name, {}).to(DEVICE) for name in names[1:]}}
    model = WeightedSum(terms, dict.fromkeys(names, 1.0))
    prepared = model.prepare(samples, draw())
    batches = moved(prepared, DEVICE)
    with no_sync():
        losses = losses_of(model, batches)
    for name, batch, loss in zip(names, batches, losses, strict=True):
        alone = terms[name](replace(batch, packed=batches[0].packed))
        assert loss.total.item() == pytest.approx(alone.total.item(), rel=1e-5)
    assert [(batch.real, batch.slots) for batch in prepared[1:]] == [(0, 0)] * (len(names) - 1)


def test_every_need_is_offered():
    offered = {
        capability
        for modality in modalities.names()
        for architecture in made.architectures(modality)
        for capability in modalities.offers(modality, made.trunk_settings(modality, architecture))
    }
    assert {need for name in NAMES for need in plugins.load(FOLDER, name).NEEDS} <= offered
