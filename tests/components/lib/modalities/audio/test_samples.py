"""Samples of pre-training on audio: crops, augmentations and padding, as functions of the sample alone."""

import numpy as np
import pytest
import torch

from components.lib.engine.randomness import Draw
from components.lib.modalities.audio.examples import ClipSet
from components.lib.modalities.audio.samples import Clips, faster
from components.lib.modalities.audio.settings import Pretraining
from components.lib.modalities.audio.trunk import stretched
from components.lib.modalities.audio.views import normalised
from components.lib.models.branch import pooled

RATE = 8_000


class Memory:
    """The interface of WaveformShards over a list of arrays."""

    def __init__(self, seconds):
        generator = np.random.default_rng(0)
        self.rate, self.fresh = RATE, len(seconds)
        self.waves = [
            (9000 * generator.standard_normal(int(s * RATE))).clip(-32768, 32767).astype(np.int16)
            for s in seconds
        ]
        self.lengths = np.array([len(wave) for wave in self.waves])

    def read(self, clip, begin=0, count=None):
        return self.waves[clip][begin : None if count is None else begin + count]


def clips(*seconds, **settings):
    return Clips(Pretraining(**{"size": "nano", "seconds": 0.5, **settings}), Memory(seconds))


def draw(ids, epoch=0, training=True):
    return Draw(np.asarray(ids), np.full(len(ids), epoch), 3, training)


def test_a_long_clip_is_as_many_samples_as_crops_fit_into_it():
    samples = clips(0.2, 2.6, 0.5)
    assert len(samples) == 1 + 5 + 1
    view = samples.view(draw(range(7)), "x")
    assert view.lengths.tolist() == [1600, 4000, 4000, 4000, 4000, 4000, 4000]
    assert view.real == pytest.approx(0.2 + 6 * 0.5) and view.slots == pytest.approx(7 * 0.5)
    long = samples.shards.waves[1]
    for row in view.waves[1:6].numpy():
        assert any(np.array_equal(row, long[at : at + 4000]) for at in range(len(long) - 3999))
    assert not np.array_equal(view.waves[1], view.waves[2])
    assert np.array_equal(view.waves[0, :1600], samples.shards.waves[0]) and not view.waves[0, 1600:].any()


VOICES = {"architecture": "melcnn", "pitch": 0.2}


@pytest.mark.parametrize("settings", [{}, {"noise": 0.5, "speed": 0.2}, VOICES])
def test_a_view_is_a_function_of_seed_epoch_and_sample(settings):
    samples = clips(*np.linspace(0.3, 1.4, 12), **settings)
    samples.trunk()
    for make in (lambda d: [samples.view(d, "x")], lambda d: samples.views(d, 2)):
        ids = np.arange(len(samples))
        whole, again = make(draw(ids)), make(draw(ids[::-1]))
        for one, other in zip(whole, again, strict=True):
            torch.testing.assert_close(one.samples(), other.samples().flip(0), rtol=0, atol=0)
            for name in one.extra:
                assert torch.equal(one.extra[name], other.extra[name].flip(0)), name
        later = make(draw(ids, epoch=1))
        assert not torch.equal(whole[0].samples(), later[0].samples())
    first, second = samples.views(draw(ids), 2)
    assert (
        not torch.equal(first.extra["hidden"], second.extra["hidden"])
        and first.extra["hidden"].any(dim=1).all()
    )


def test_held_out_samples_are_not_altered():
    samples = clips(0.5, 0.5, noise=0.5, speed=0.3)
    view = samples.view(draw([0, 1], training=False), "x")
    assert np.array_equal(view.waves[0], samples.shards.waves[0]) and view.extra == {}


def test_inputs_have_mean_0_and_variance_1_whatever_they_are_padded_to():
    samples = clips(0.3, 0.5)
    view = samples.view(draw([0, 1]), "x")
    found = view.samples()
    real = found[0, : view.lengths[0]]
    assert abs(real.mean()) < 1e-5 and real.std(correction=0) == pytest.approx(1, abs=1e-4)
    assert not found[0, view.lengths[0] :].any()
    alone = normalised(
        view.waves[:1, : view.lengths[0]].float() / 32768,
        torch.ones(1, int(view.lengths[0]), dtype=torch.bool),
    )
    torch.testing.assert_close(alone[0], real)


def test_a_faster_clip_is_shorter_and_higher():
    wave = np.rint(9000 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)).astype(np.int16)
    found = faster(wave, 1.25)
    assert len(found) == RATE / 1.25
    assert np.abs(np.fft.rfft(found)).argmax() / len(found) == pytest.approx(1.25 * 200 / RATE, rel=0.01)


@pytest.mark.parametrize("architecture", ["melcnn", "wav2vec2"])
def test_padding_changes_nothing_of_what_a_trunk_makes_of_a_clip(architecture):
    """Also in a served model, which is given which samples are real."""
    samples = clips(0.3, 0.5, architecture=architecture)
    torch.manual_seed(0)
    trunk = samples.trunk().eval()
    view = samples.view(draw([0, 1]), "x")
    waves, count = view.samples(), int(view.lengths[0])
    mask = (torch.arange(waves.shape[1]) < view.lengths[:, None]).long()
    with torch.no_grad():
        padded = trunk.pool(trunk(view), view)[0]
        alone = pooled(trunk.model, {"input_values": waves[:1, :count], "attention_mask": mask[:1, :count]})
        served = pooled(trunk.model, {"input_values": waves, "attention_mask": mask})
    torch.testing.assert_close(padded, alone[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(served[0], alone[0], atol=1e-5, rtol=1e-4)


def test_a_clip_shorter_than_a_frame_is_read():
    model = clips(0.5, architecture="melcnn").trunk().eval().model
    assert model(torch.randn(2, 90)).last_hidden_state.isfinite().all()


def test_a_higher_voice_has_its_bands_higher():
    """A peak in band 10 of 40 is in band 12 at 1.2 times the pitch, and what leaves the range is gone."""
    mel = torch.zeros(3, 2, 40)
    mel[:, :, 10] = mel[:, :, 39] = 1.0
    found = stretched(mel, torch.tensor([1.0, 1.2, 0.8]))
    assert torch.equal(found[0], mel[0])
    assert found[1, 0].argmax() == 12 and found[1, 0, 36:].sum() == 0
    assert found[2, 0, :20].argmax() == 8 and found[2, 0, 25:].argmax() == 6


def test_many_long_clips_are_read_in_batches_of_bounded_memory():
    lengths = [9, 2, 40, 7, 8, 41]
    waves = [np.broadcast_to(np.int16(0), (seconds * (1 << 18),)) for seconds in lengths]
    found = [part.tolist() for part in ClipSet(waves, [0] * 6).batches(4)]
    assert found == [[1, 3, 4, 0], [2], [5]]
