"""Image trunks beside those of `transformers`, and what a view of an image is."""

import numpy as np
import pytest
import torch
from transformers import ResNetConfig, ResNetModel

from components.lib.core.errors import ConfigError
from components.lib.modalities.image.trunk import built
from components.lib.models.vision.architectures import ARCHITECTURES, MLP, RESNET, Dials
from tests.made.in_memory import draw, images, trunk


def test_a_small_resnet_is_the_resnet_of_transformers_behind_another_stem():
    built = ARCHITECTURES["resnet"](Dials("small", 32, 32, 3, 4))
    assert (built.hidden_sizes, built.depths) == ([64, 128, 256, 512], [2, 2, 2, 2])
    config = ResNetConfig(
        embedding_size=16,
        hidden_sizes=[16, 32, 64, 128],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        num_channels=1,
    )
    assert RESNET["nano"] == (16, (16, 32, 64, 128), (1, 1, 1, 1), "basic")
    theirs = ResNetModel(config).eval()
    ours = trunk(images(architecture="resnet")).eval().model
    shared = {name: value for name, value in ours.state_dict().items() if "embedder" not in name}
    missing = theirs.load_state_dict(shared, strict=False).missing_keys
    assert missing and all("embedder" in name for name in missing)
    pixels = torch.randn(2, 1, 16, 16)
    hidden = theirs.encoder(ours.embedder(pixels)).last_hidden_state
    torch.testing.assert_close(ours(pixel_values=pixels).last_hidden_state, hidden)
    assert ours.embedder(pixels).shape[2:] == (16, 16)


def test_the_fully_connected_network_is_784_256_32():
    assert MLP["small"] == (256, 32)
    model = built(ARCHITECTURES["mlp"](Dials("small", 28, 28, 1, 4)))
    assert [tuple(layer.weight.shape) for layer in model.model.layers] == [(256, 784), (32, 256)]


def test_a_plain_view_is_the_stored_image_normalised():
    samples = images()
    view = samples.view(draw(8), "any")
    stored = samples.shards.gather(np.arange(8)).astype(np.float64).transpose(0, 3, 1, 2) / 255
    expected = (stored - samples.shards.mean[0]) / samples.shards.std[0]
    np.testing.assert_allclose(view.pixels().numpy(), expected, atol=1e-5)
    back = view.frame.plain(view.pixels())
    np.testing.assert_allclose(back.numpy(), stored, atol=1e-5)


def test_two_views_differ_and_are_the_same_again():
    samples = images(count=40, channels=3, jitter=0.5)
    first, second = samples.views(draw(), 2)
    again, _ = samples.views(draw(), 2)
    assert torch.equal(first.pixels(), again.pixels())
    assert not torch.allclose(first.pixels(), second.pixels(), atol=0.1)


def test_a_vit_reads_some_of_its_patches_as_it_reads_all():
    samples = images(architecture="vit")
    model = trunk(samples).eval()
    pixels = samples.view(draw(), "any").pixels()
    torch.testing.assert_close(model.encode(model.embed(pixels)), model.read(pixels))


def test_patches_that_do_not_fill_the_image_are_told():
    with pytest.raises(ConfigError, match="do not fill"):
        images(architecture="vit", patch=5).trunk()
