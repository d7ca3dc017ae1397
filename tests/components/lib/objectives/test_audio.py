"""Objectives on audio against references: `transformers`' Wav2Vec2ForPreTraining, and the papers' rules."""

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2ForPreTraining
from transformers.models.wav2vec2 import modeling_wav2vec2

from components.lib.core.settings import from_dict
from components.lib.data.mel import filters
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.distributed import ALONE
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.randomness import Draw
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.audio.samples import spans
from components.lib.modalities.audio.trunk import Trunk, reach
from components.lib.models.audio.architectures import wav2vec2 as network
from components.lib.models.audio.mel import LogMel
from components.lib.objectives import best_rq, wav2vec2
from components.lib.storage.objects import connect
from tests import made

OPTIONS = {"groups": 2, "codewords": 8, "width": 12, "projection": 10, "negatives": 7, "temperature": 0.3}


def draw(count=6, epoch=0):
    return Draw(np.arange(count), np.full(count, epoch), 3)


def pair():
    """Their model and our objective with the same weights, in float64."""
    config = network("nano", 0.0, 16_000)
    config.num_codevector_groups, config.num_codevectors_per_group = OPTIONS["groups"], OPTIONS["codewords"]
    config.codevector_dim, config.proj_codevector_dim = OPTIONS["width"], OPTIONS["projection"]
    config.contrastive_logits_temperature, config.diversity_loss_weight = OPTIONS["temperature"], 0.1
    config.num_negatives, config.feat_quantizer_dropout = OPTIONS["negatives"], 0.0
    config.apply_spec_augment = True  # by given masks
    torch.manual_seed(0)
    theirs = Wav2Vec2ForPreTraining(config).double()
    ours = wav2vec2.Objective(from_dict(wav2vec2.Config, OPTIONS), Trunk(theirs.wav2vec2)).double()
    ours.codewords = torch.nn.Parameter(theirs.quantizer.codevectors[0].detach().clone())
    for mine, other in (
        ("choose", "quantizer.weight_proj"),
        ("project_q", "project_q"),
        ("project_hid", "project_hid"),
    ):
        getattr(ours, mine).load_state_dict(theirs.get_submodule(other).state_dict())
    return theirs.train(), ours.train()


def answered(theirs, waves, batch, monkeypatch):
    """What their model says of a batch, and the Gumbel noise that it drew."""
    mask, others, drawn = batch.extra["hidden"], batch.extra["negatives"], []
    rows = others + torch.arange(len(mask))[:, None, None] * mask.shape[1]
    real = torch.arange(waves.shape[1]) < batch.lengths[:, None]
    gumbel_softmax = torch.nn.functional.gumbel_softmax

    def noted(logits, tau, hard):
        state = torch.get_rng_state()
        drawn.append(-torch.empty_like(logits).exponential_().log())
        torch.set_rng_state(state)
        return gumbel_softmax(logits, tau=tau, hard=hard)

    with monkeypatch.context() as patched:
        patched.setattr(torch.nn.functional, "gumbel_softmax", noted)
        patched.setattr(
            torch.Tensor, "float", torch.Tensor.double
        )  # of which they are sure that it is enough
        given = {"attention_mask": real.long(), "mask_time_indices": mask, "sampled_negative_indices": rows}
        return theirs(waves, **given), drawn


@pytest.mark.parametrize("training", [True, False])
def test_wav2vec2_is_that_of_transformers(training, monkeypatch):
    """Loss, both its parts, perplexity and the gradient of every weight, with the same masks and noise."""
    theirs, ours = (model.train(training) for model in pair())
    batch = ours.prepare(made.open_samples("audio"), draw())
    waves = batch.samples().double()
    expected, drawn = answered(theirs, waves, batch, monkeypatch)
    hidden, features = ours.trunk.embed(waves)
    hidden = ours.trunk.encode(ours.trunk.hide(hidden, batch), batch.frames)
    noise = drawn[0].view(*features.shape[:2], -1) if training else None
    found = ours.loss(hidden, features, batch.extra["hidden"], batch.extra["negatives"], noise, batch.weight)
    values = {"contrastive_loss": found.parts["contrastive"], "diversity_loss": found.parts["diversity"]}
    values |= {"loss": found.total, "codevector_perplexity": found.parts["perplexity"] / batch.weight}
    for name, value in values.items():
        assert value.item() == pytest.approx(getattr(expected, name).item(), rel=1e-12), name
    if not training:
        return
    same = {"quantizer.codevectors": ours.codewords}
    for name, part in (
        ("quantizer.weight_proj", "choose"),
        ("project_q", "project_q"),
        ("project_hid", "project_hid"),
    ):
        same |= {f"{name}.{kind}": one for kind, one in ours.get_submodule(part).named_parameters()}
    names, weights = zip(*theirs.named_parameters(), strict=True)
    mine = [same.get(name, weight) for name, weight in zip(names, weights, strict=True)]
    pairs = zip(
        torch.autograd.grad(found.total, mine), torch.autograd.grad(expected.loss, weights), strict=True
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other.view_as(one), rtol=1e-9, atol=1e-12)


def test_a_negative_is_another_hidden_frame_of_the_clip():
    samples = made.open_samples("audio")
    _, ours = pair()
    batch = ours.prepare(samples, draw(20))
    hidden, others = batch.extra["hidden"], batch.extra["negatives"]
    assert batch.weight == hidden.sum() and (hidden & ~batch.frames).sum() == 0
    for row, mask in enumerate(hidden):
        places = torch.nonzero(mask).flatten()
        assert len(places) >= 2
        for place in places:
            found = others[row, place]
            assert mask[found].all() and (found != place).all()
        assert set(others[row, places].flatten().tolist()) == set(places.tolist())  # uniformly: all are met


def test_spans_are_a_function_of_the_sample_and_as_many_as_asked_for():
    """As in `transformers`: about share * frames of them, overlaps counted once."""
    real = np.arange(200) < np.array([[200], [200], [40], [6], [1]])
    many = np.repeat(real, 40, axis=0)
    hidden = spans(draw(len(many)), "x", many, 0.65, 10)
    assert (hidden & ~many).sum() == 0
    assert np.array_equal(hidden[:7], spans(draw(len(many)), "x", many, 0.65, 10)[:7])
    assert np.array_equal(hidden[5], spans(draw(len(many)).at(slice(5, 6)), "x", many[5:6, :], 0.65, 10)[0])
    assert not np.array_equal(hidden[0], spans(draw(len(many), epoch=1), "x", many, 0.65, 10)[0])
    np.random.seed(0)
    theirs = modeling_wav2vec2._compute_mask_indices((400, 200), 0.65, 10, min_masks=2)
    assert hidden[:80].mean() == pytest.approx(theirs.mean(), abs=0.02)
    assert (hidden[120:160].sum(axis=1) >= 2).all() and (hidden[160:].sum(axis=1) == 1).all()


def test_targets_of_best_rq_are_nearest_codewords_whatever_a_clip_is_padded_to():
    """Nearest codewords of normalised log-mel, found by NumPy; each codebook sees another projection."""
    samples = made.open_samples("audio")
    torch.manual_seed(0)
    trunk = samples.trunk()
    ours = best_rq.Objective(from_dict(best_rq.Config, {"codewords": 32}), trunk)
    batch = ours.prepare(samples, draw())
    waves = batch.samples()
    found = ours.targets(waves, batch.frames)
    alone = ours.targets(waves[2:3, : batch.lengths[2]], batch.frames[2:3, : int(batch.frames[2].sum())])
    assert torch.equal(found[2, : alone.shape[1]], alone[0])
    seen = ours.mel(waves, batch.frames)
    projected = np.einsum("lb,cbw->lcw", seen[batch.frames].numpy(), ours.projection.numpy())
    projected /= np.linalg.norm(projected, axis=2, keepdims=True)
    distances = np.linalg.norm(projected[:, :, None] - ours.books.numpy()[None], axis=3)
    assert np.array_equal(found[batch.frames].numpy(), distances.argmin(axis=2))
    assert not torch.equal(found[..., 0], found[..., 1])
    assert not any(name.startswith(("projection", "books")) for name, _ in ours.named_parameters())


def test_log_mel_on_the_device_is_that_of_numpy():
    rate, generator = 8_000, np.random.default_rng(0)
    wave = generator.standard_normal(2000).astype(np.float32)
    mel = LogMel(20, rate, *reach((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2)))
    assert mel.width == 400 and mel.step == 320
    found = mel(torch.from_numpy(wave)[None], torch.ones(1, 6, dtype=torch.bool))[0].numpy()
    frames = np.stack([wave[at : at + 400] for at in range(0, 1601, 320)]) * torch.hann_window(400).numpy()
    power = np.abs(np.fft.rfft(frames)) ** 2 / 400
    plain = np.log(power @ filters(rate, 400, 20) + 1e-4)
    expected = (plain - plain.mean(axis=0)) / np.sqrt(plain.var(axis=0) + 1e-5)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("objective", [wav2vec2, best_rq])
def test_a_killed_training_goes_on_to_the_bit(objective, tmp_path):
    """Losses and every tensor: also the temperature of the choice, and codebooks that never move."""

    def train(place, steps_until_killed=None):
        samples = made.open_samples("audio")
        torch.manual_seed(0)
        term = objective.Objective(from_dict(objective.Config, {}), samples.trunk())
        model = WeightedSum({"it": term}, {"it": 1.0})
        plan = Plan(Schedule("cosine", 1e-3, 6, 0.1), quiet=True, report_every=1, checkpoint_every=2)
        kept = Checkpoints(connect(str(place)), "checkpoints", {}, world=ALONE)

        def killed(row):
            if row["step"] == steps_until_killed:
                raise KeyboardInterrupt

        run = Run(model, samples, Order(len(samples), 8, 0), plan, ALONE, checkpoints=kept, report=killed)
        return run.train(), model.state_dict()

    history, whole = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "killed", 5)
    again, resumed = train(tmp_path / "killed")
    assert [row["loss"] for row in again] == [row["loss"] for row in history] and len(history) == 6
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
