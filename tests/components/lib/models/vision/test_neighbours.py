"""The votes of the nearest images against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from components.lib.models.vision.neighbours import features_of
from sklearn.neighbors import KNeighborsClassifier

from components.lib.data import images
from components.lib.modalities.image.canvas import Canvas
from components.lib.models.vision.architectures import ARCHITECTURES, Dials
from components.lib.tasks import image_classification as task

NAMES = ["a", "b", "c"]


def labelled(count: int, seed: int):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 16, 16, 1), dtype=np.uint8)
    canvas = Canvas(16, 16, 1, "crop", (0.5,), (0.3,))
    labels = [str(name) for name in rng.choice(NAMES, count)]
    return task.encode(canvas, [images.png(one) for one in pixels], labels, NAMES)


@pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
@pytest.mark.parametrize("voters", [1, 5, 100])
def test_they_vote_as_scikit_learns(architecture, voters, tmp_path):
    torch.manual_seed(0)
    net = task.model(ARCHITECTURES[architecture](Dials("nano", 16, 16, 1, 4)), NAMES)
    known, asked = labelled(60, 0), labelled(40, 1)
    branch = task.neighbours(net, known, voters, batch_size=7)
    found = task.outcomes(branch, asked, NAMES)
    with torch.no_grad():
        a, b = (
            features_of(net.base_model.eval(), s.batch(range(len(s))).normal()).double().numpy()
            for s in (known, asked)
        )
    reference = KNeighborsClassifier(min(voters, 60), metric="cosine").fit(a, known.targets)
    assert found["prediction"].tolist() == reference.predict(b).tolist()
    assert np.allclose(found["confidence"], reference.predict_proba(b).max(axis=1), atol=1e-6)
    branch.save_pretrained(tmp_path)
    again = task.outcomes(task.load(tmp_path), asked, NAMES)
    assert all((again[name] == found[name]).all() for name in found)


def test_features_are_what_the_classifier_reads():
    """The head on them, before they are made of length 1, gives the classifier's own answer."""
    for architecture in sorted(ARCHITECTURES):
        torch.manual_seed(0)
        net = task.model(ARCHITECTURES[architecture](Dials("nano", 16, 16, 1, 4)), NAMES).eval()
        pixels = torch.randn(4, 1, 16, 16)
        seen = []
        net.classifier.register_forward_hook(lambda module, given, output, seen=seen: seen.append(given[0]))
        with torch.no_grad():
            net(pixel_values=pixels)
            unit = torch.nn.functional.normalize(seen[0], dim=1)
            assert torch.allclose(features_of(net.base_model, pixels), unit, atol=1e-6), architecture
