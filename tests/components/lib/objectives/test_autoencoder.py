"""The autoencoder against its formulas, and the network 784-256-32."""

import numpy as np
import pytest
import torch

from components.lib.engine.randomness import Draw
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining as Dials
from components.lib.objectives.autoencoder import Config, Objective, covariance
from tests.components.lib.objectives.images import Arrays, images, trunk


def draw(count: int = 10) -> Draw:
    return Draw(np.arange(count), np.zeros(count, dtype=np.int64), 3)


def test_value_is_error_plus_regularisers():
    samples = images(architecture="mlp")
    objective = Objective(Config(sparsity=0.3, decorrelation=0.7), trunk(samples))
    batch = objective.prepare(samples, draw())
    loss = objective(batch)
    with torch.no_grad():
        pixels = batch.pixels()
        code = objective.trunk.pool(objective.trunk.read(pixels))
        drawn, pixels, code = objective.decoder(code).double(), pixels.double(), code.double()
    error = sum(((a - b) ** 2).mean() for a, b in zip(drawn, pixels, strict=True))
    table = np.cov(code.numpy().T, bias=True)
    decorrelation = 0.5 * ((table**2).sum() - (np.diag(table) ** 2).sum())
    expected = error + 0.3 * code.abs().mean(dim=1).sum() + 0.7 * 10 * decorrelation
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-5)
    assert loss.parts["error"].item() == pytest.approx(error.item(), rel=1e-5)


def test_gradient_of_decorrelation():
    torch.manual_seed(0)
    code = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(covariance, code)


def test_the_decoder_mirrors_784_256_32():
    generator = np.random.default_rng(0)
    samples = Images(
        Dials(architecture="mlp", size="small"),
        Arrays(generator.integers(0, 255, (9, 28, 28, 1)).astype(np.uint8)),
    )
    objective = Objective(Config(), trunk(samples))
    assert [tuple(layer.weight.shape) for layer in objective.decoder.layers] == [(256, 32), (784, 256)]
    assert objective.decoder(torch.zeros(2, 32)).shape == (2, 1, 28, 28)


@pytest.mark.parametrize(
    ("architecture", "shape"), [("cnn", (1, 30, 21)), ("vit", (3, 24, 36)), ("resnet", (2, 9, 9))]
)
def test_the_decoder_has_the_shape_of_the_images(architecture, shape):
    channels, height, width = shape
    array = np.zeros((4, height, width, channels), np.uint8)
    array[1:] = 255
    samples = Images(Dials(architecture=architecture, size="nano", patch=3), Arrays(array))
    objective = Objective(Config(), trunk(samples))
    assert objective.decoder(torch.zeros(2, objective.trunk.width)).shape == (2, *shape)


def test_sparsity_shrinks_the_code():
    from components.lib.engine.distributed import World
    from components.lib.engine.loop import Run
    from components.lib.engine.optimization import Schedule
    from components.lib.engine.order import Order
    from components.lib.engine.plan import Plan
    from components.lib.engine.trainable import WeightedSum

    sizes = []
    for sparsity in (0.0, 1.0):
        samples = images(architecture="mlp")
        objective = Objective(Config(sparsity=sparsity), trunk(samples))
        plan = Plan(Schedule("cosine", 3e-3, 60, 0.1), quiet=True)
        model = WeightedSum({"autoencoder": objective}, {"autoencoder": 1.0})
        history = Run(model, samples, Order(40, 20, 0), plan, World(0, 1, torch.device("cpu"))).train()
        sizes.append(history[-1]["autoencoder/sparsity"])
    assert sizes[1] < 0.5 * sizes[0]
