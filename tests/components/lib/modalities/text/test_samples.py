"""Text: views cover documents, packed segments do not see each other, what is frozen does not learn."""

import numpy as np
import pytest
import torch

from components.lib.engine.randomness import Draw
from components.lib.models import classifiers
from components.lib.models.text.packing import pack
from components.lib.tasks import sequence_classification
from tests.made.in_memory import SPECIAL, documents, text, trunk

ARCHITECTURES = ["bert", "modernbert", "gpt2", "llama"]


def draw(ids, epoch: int = 0) -> Draw:
    ids = np.asarray(ids)
    return Draw(ids, np.full(len(ids), epoch), seed=0)


def segments(packed) -> list[list[int]]:
    flat = packed.ids.flatten()[packed.places]
    return [
        flat[start:stop].tolist() for start, stop in zip(packed.starts[:-1], packed.starts[1:], strict=True)
    ]


def test_chunks_cover_every_token_once():
    samples = text(unit="chunk")
    shown = segments(samples.view(draw(np.arange(len(samples))), "window"))
    assert all(segment[0] == SPECIAL["bos"] and segment[-1] == SPECIAL["eos"] for segment in shown)
    read = np.concatenate([segment[1:-1] for segment in shown])
    long_enough = [d for d in documents() for d in [d[: len(d) if len(d) % 22 != 1 else len(d) - 1]]]
    assert read.tolist() == np.concatenate(long_enough).tolist()


def test_a_view_is_a_window_of_its_document_and_moves_with_the_epoch():
    samples = text(unit="document")
    longest = int(np.argmax(samples.length))
    whole = documents()[longest].tolist()
    seen = set()
    for epoch in range(20):
        window = segments(samples.view(draw([longest], epoch), "window"))[0][1:-1]
        starts = [i for i in range(len(whole)) if whole[i : i + len(window)] == window]
        assert len(window) == 22 and starts
        seen.add(starts[0])
    assert len(seen) > 5


def test_two_views_are_independent_crops():
    samples = text(unit="document", crop=0.5)
    first, second = samples.views(draw(np.arange(len(samples))), 2)
    lengths = first.starts.diff().numpy() - 2
    assert (lengths <= np.maximum(2, np.ceil(samples.length * 0.5))).all()
    assert (first.starts == second.starts).all()
    assert segments(first) != segments(second)


def test_a_view_does_not_depend_on_its_batch():
    samples = text(unit="document")
    together = segments(samples.view(draw([5, 9, 2]), "window"))
    assert segments(samples.view(draw([9]), "window"))[0] == together[1]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_equals_separate(architecture):
    samples = text(architecture=architecture, sequence_length=40)
    model = trunk(samples).eval()
    packed = samples.view(draw(np.arange(20)), "window")
    assert packed.ids.shape[0] < 20  # several segments share a row
    with torch.no_grad():
        hidden = model(packed)
        together, pooled = hidden.flatten(0, 1)[packed.places], model.pool(hidden, packed)
        for number, segment in enumerate(segments(packed)):
            alone = pack(np.array(segment), np.array([0, len(segment)]), 40, SPECIAL["pad"])
            separate = model(alone)
            start, stop = packed.starts[number], packed.starts[number + 1]
            torch.testing.assert_close(together[start:stop], separate[0], atol=2e-6, rtol=1e-5)
            torch.testing.assert_close(pooled[number], model.pool(separate, alone)[0], atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("learning", [0, 1])
def test_what_is_frozen_does_not_learn(learning):
    samples = text(size="tiny")
    classifier = sequence_classification.model(trunk(samples).model.config, ["a", "b"])
    classifiers.freeze(classifier, learning)
    free = {name for name, p in classifier.base_model.named_parameters() if p.requires_grad}
    layers = {name.split(".")[1] for name in free if name.startswith("layers.")}
    assert len(layers) == learning
    assert not any("embed" in name for name in free)
    assert any(p.requires_grad for n, p in classifier.named_parameters() if n.startswith("classifier"))
