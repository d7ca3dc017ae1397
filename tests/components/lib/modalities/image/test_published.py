"""Published weights of every image family: features and canvas are those of `transformers`."""

import pytest
import torch
from transformers import AutoModel

from components.lib.modalities.image import trunk
from components.lib.modalities.image.canvas import Canvas
from components.lib.models.branch import pooled
from components.lib.storage.store import Store
from components.preflight.public_weights.keeping import obtain
from tests.made import published


@pytest.mark.parametrize("kind", published.IMAGE)
def test_features_are_those_of_transformers(tmp_path, kind):
    hub, store = published.image(tmp_path / "hub", kind), Store(str(tmp_path / "store"))
    manifest, reused = obtain(store, f"{hub}/", "image")
    assert not reused and obtain(store, f"{hub}/", "image") == (manifest, True)
    folder = store.open_folder(manifest, "model/")
    ours, theirs = trunk.load(folder).eval(), AutoModel.from_pretrained(hub).eval()
    pixels = torch.randn(3, 3, published.SIDE, published.SIDE)
    with torch.no_grad():
        hidden, expected = ours.read(pixels), theirs(pixels)
        assert torch.allclose(hidden, expected.last_hidden_state, atol=1e-5)
        vectors = expected.last_hidden_state[:, 0] if ours.patches else expected.pooler_output.flatten(1)
        assert torch.allclose(ours.pool(hidden), vectors, atol=1e-5)
        assert torch.allclose(pooled(ours.model, {"pixel_values": pixels}), vectors, atol=1e-5)
    assert ours.shape == (3, published.SIDE, published.SIDE)


def test_the_canvas_is_that_of_its_processor(tmp_path):
    hub, store = published.image(tmp_path / "hub", "resnet"), Store(str(tmp_path / "store"))
    manifest, _ = obtain(store, f"{hub}/", "image")
    canvas = Canvas.open(store.open_folder(manifest, "model/"))
    assert (canvas.height, canvas.width, canvas.channels, canvas.fit) == (32, 32, 3, "crop")
    assert canvas.mean == (0.485, 0.456, 0.406) and canvas.std == (0.229, 0.224, 0.225)
