"""The votes of the nearest examples against scikit-learn, on the features that a classifier reads."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from components.lib.engine.transfer import moved
from components.lib.models.branch import pooled
from components.lib.models.probe import LinearProbe
from components.lib.modes import Fit, knn
from tests import made

ARCHITECTURES = made.architectures("image")


@pytest.mark.parametrize("voters", [1, 5, 100])
@pytest.mark.parametrize("case", [c for c in made.branches() if "vote" in made.tasks.load(c[0]).OFFERS])
def test_they_vote_as_scikit_learns(case, voters):
    one = made.branch(*case)
    known, asked = one.samples.subset(np.arange(16)), one.samples.subset(np.arange(8, 24))
    fit = Fit(one.plugin, one.model, known, SimpleNamespace(neighbours=voters), 0, None)
    branch, _ = knn.learn(fit)
    found = one.plugin.outcomes(branch, asked, one.names)
    reader = LinearProbe(one.model.config)
    reader.trunk = one.model.base_model
    (a, classes), (b, _) = (one.plugin.features(reader, part) for part in (known, asked))
    order = np.concatenate(asked.batches(64))
    reference = KNeighborsClassifier(min(voters, 16), metric="cosine").fit(a.double(), classes)
    assert found["prediction"][order].tolist() == reference.predict(b.double()).tolist()
    shares = reference.predict_proba(b.double()).max(axis=1)
    assert np.allclose(found["confidence"][order], shares, atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_features_are_what_the_classifier_reads(architecture):
    """Its head on them gives its own answer, and they are what the trunk pools."""
    one = made.branch("image_classification", "image", architecture)
    model, batch = one.model.eval(), one.samples.batch(np.arange(6))
    with torch.no_grad():
        features = pooled(model.base_model, {"pixel_values": moved(batch, torch.device("cpu")).normal()})
        logits = model(pixel_values=batch.normal()).logits
        torch.testing.assert_close(model.classifier(features), logits, atol=1e-5, rtol=1e-5)
        trunk = type(one.trunk)(model.base_model)
        torch.testing.assert_close(trunk.pool(trunk.read(batch.normal())), features, atol=1e-5, rtol=1e-5)
