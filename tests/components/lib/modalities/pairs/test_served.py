"""Retrieval and its report, and vectors of a bare trunk: images, texts or both, as a client sends them."""

import base64
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from components.lib.core import plugins
from components.lib.data import images
from components.lib.registry.mlflow_model import Use
from components.lib.registry.serving import Server
from components.lib.tasks import retrieval
from tests import made


def served(folder, kind: str) -> Server:
    use, server = Use.of(kind, "pairs"), Server()
    assert use.inputs == ["image", "text"] and use.optional
    module = plugins.module("components.lib.tasks", use.task) if use.task else ""
    options = {"modality": plugins.module("components.lib.modalities", "pairs"), "task": module}
    context = {"model_config": {**options, "inputs": use.inputs}, "artifacts": {"model": str(folder)}}
    server.load_context(SimpleNamespace(**context))
    return server


@pytest.fixture(scope="module")
def branch(tmp_path_factory):
    """A branch that keeps its pairs, and its folder."""
    one = made.branch("retrieval", "pairs", "")
    retrieval.remember(one.model, one.samples)
    return one, one.save(one.model, tmp_path_factory.mktemp("branch") / "model")


def test_a_text_finds_an_image_and_an_image_a_text(branch):
    one, folder = branch
    texts, files = one.samples.texts, one.inputs["image"]
    sent = [base64.b64encode(files[3]).decode(), None, base64.b64encode(files[0]).decode()]
    answers = served(folder, "retrieval").predict(
        None, pd.DataFrame({"image": sent, "text": [None, texts[5], None]})
    )
    pictures, words = (vectors.numpy() for vectors in one.samples.vectors(one.model.trunk))
    for answer, image in ((answers[0], 3), (answers[2], 0)):
        similar = words @ pictures[image]
        assert answer["caption"] == texts[int(similar.argmax())]
        assert answer["score"] == pytest.approx(float(similar.max()), abs=1e-5)
        listed = json.loads(answer["best"])
        assert [caption for caption, _ in listed] == [texts[i] for i in np.argsort(-similar)[:5]]
    found = images.decode(base64.b64decode(answers[1]["picture"]))
    nearest = int((pictures @ words[5]).argmax())
    assert np.array_equal(found, one.samples.images.pixels[nearest])
    alone = served(folder, "retrieval").predict(None, pd.DataFrame({"text": [texts[5]]}))
    assert alone[0]["picture"] == answers[1]["picture"]


def test_a_bare_trunk_gives_vectors_of_one_space(branch):
    one, _ = branch
    server, text = served(made.trunk_folder("pairs"), "trunk"), one.samples.texts[0]
    image = base64.b64encode(one.inputs["image"][0]).decode()
    mixed = server.predict(None, pd.DataFrame({"image": [None, image], "text": [text, None]}))
    apart = [
        server.predict(None, pd.DataFrame({name: [value]}))[0]
        for name, value in (("text", text), ("image", image))
    ]
    np.testing.assert_allclose(mixed, apart, atol=1e-5)
    assert mixed.shape == (2, 32) and np.allclose(np.linalg.norm(mixed, axis=1), 1, atol=1e-5)
    with pytest.raises(MlflowException, match="neither an image nor a text"):
        server.predict(None, pd.DataFrame({"image": [image, None], "text": [None, None]}))
    with pytest.raises(MlflowException, match="input 1"):
        server.predict(None, pd.DataFrame({"image": ["no base64!"], "text": [None]}))


def test_ranks_count_what_is_as_similar_and_every_caption_that_is_right():
    assert retrieval._rank(np.array([0.9, 0.5, 0.7]), np.array([False, True, True])) == 2
    assert retrieval._rank(np.zeros(4), np.array([True, False, False, False])) == 4  # nothing is told apart
    ranks = {
        "text_rank": np.array([1, 3, 11, 2]),
        "image_rank": np.array([1, 1, 6, 40]),
        "similarity": np.ones(4),
    }
    found = retrieval.metrics(ranks, np.array([[1, 1, 1, 1], [2, 0, 0, 1]]), [])
    assert found["text_recall_at_1"].tolist() == [0.25, pytest.approx(2 / 3)]
    assert found["text_median_rank"].tolist() == [2.5, 1.0] and found["image_recall_at_10"].tolist() == [
        0.75,
        pytest.approx(2 / 3),
    ]


def test_the_report_shows_what_is_found(branch):
    one, _ = branch
    first = {"image": one.inputs["image"][:3]}
    note, shown = retrieval.pictures(one.model, one.reader, first, one.labels[:3])
    assert "cosines" in note and all(
        own[0] in words for (_, words), own in zip(shown, one.labels, strict=False)
    )
