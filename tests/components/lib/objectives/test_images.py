"""What is particular to one objective on images, beyond its loss and gradient (see test_formulas)."""

import colorsys
import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from components.lib.core import plugins
from components.lib.core.errors import ConfigError
from components.lib.modalities.image.samples import Images
from components.lib.modalities.image.settings import Pretraining
from components.lib.objectives import adversarial, autoencoder, byol, colorization, rotation
from components.lib.objectives.contrastive import LOSSES, Config, compare
from tests.made.in_memory import Arrays, draw, images, trunk


@pytest.mark.parametrize(
    ("name", "what"),
    [("adversarial", "keys"), ("denoising", "keys"), ("masked_image", "order"), ("rotation", "turns")],
)
def test_what_is_drawn_for_an_image_depends_on_sample_and_epoch_alone(name, what):
    module = plugins.load("components.lib.objectives", name)
    samples = images(count=1000, architecture="vit")
    objective = module.Objective(module.Config(), trunk(samples))

    def drawn(*arguments):
        return objective.prepare(samples, draw(*arguments)).extra[what]

    assert torch.equal(drawn([4, 7])[1], drawn([7, 1, 2])[0])
    assert not torch.equal(drawn(range(20)), drawn(range(20), 1))
    if name == "rotation":
        assert (np.bincount(drawn(range(1000)), minlength=4) / 250 - 1).max() < 0.2
    if name == "masked_image":
        first = drawn(range(1000))[:, : objective.visible].flatten()
        assert (np.bincount(first, minlength=16) / len(first) * 16 - 1).max() < 0.3


def test_statistics_of_the_discriminator_are_those_of_images():
    samples = images()
    objective = adversarial.Objective(adversarial.Config(), trunk(samples))
    alone = trunk(samples)
    batch = objective.prepare(samples, draw())
    objective(batch, "main")
    objective(batch, "generator")
    alone.read(batch.pixels())
    for name, value in alone.state_dict().items():
        if "running" in name or "tracked" in name:
            torch.testing.assert_close(objective.trunk.state_dict()[name], value)


def test_the_decoder_mirrors_784_256_32():
    pixels = np.random.default_rng(0).integers(0, 255, (9, 28, 28, 1)).astype(np.uint8)
    samples = Images(Pretraining(architecture="mlp", size="small"), Arrays(pixels))
    objective = autoencoder.Objective(autoencoder.Config(), trunk(samples))
    assert [tuple(layer.weight.shape) for layer in objective.decoder.layers] == [(256, 32), (784, 256)]
    assert objective.decoder(torch.zeros(2, 32)).shape == (2, 1, 28, 28)


@pytest.mark.parametrize(
    ("architecture", "shape"), [("cnn", (1, 30, 21)), ("vit", (3, 24, 36)), ("resnet", (2, 9, 9))]
)
def test_a_decoder_has_the_shape_of_the_images(architecture, shape):
    channels, height, width = shape
    array = np.zeros((4, height, width, channels), np.uint8)
    array[1:] = 255
    samples = Images(Pretraining(architecture=architecture, size="nano", patch=3), Arrays(array))
    objective = autoencoder.Objective(autoencoder.Config(), trunk(samples))
    assert objective.decoder(torch.zeros(2, objective.trunk.width)).shape == (2, *shape)


def test_byols_teacher_is_a_moving_average_with_a_cosine_pace():
    samples = images()
    objective = byol.Objective(byol.Config(momentum=0.9), trunk(samples))
    expected = {name: value.double().clone() for name, value in objective.teacher.state_dict().items()}
    student = torch.nn.ModuleDict({"trunk": objective.trunk, "projector": objective.projector})
    for step in range(6):
        objective(objective.prepare(samples, draw()))  # moves the statistics of the student
        with torch.no_grad():
            for parameter in objective.trunk.parameters():
                parameter.add_(0.01)
        objective.after_step(step, 6)
        pace = 1 - (1 - 0.9) * (math.cos(math.pi * step / 6) + 1) / 2
        for name, value in student.state_dict().items():
            moved = pace * expected[name] + (1 - pace) * value.double()
            expected[name] = moved if value.is_floating_point() else value.double()
    buffers = [name for name in expected if "running" in name]
    assert buffers and all(not torch.equal(expected[n].float(), student.state_dict()[n]) for n in buffers)
    for name, value in objective.teacher.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], atol=1e-5, rtol=1e-5)


def test_luma_and_chroma_are_those_of_yiq():
    """Python's colorsys rounds its matrix to two digits."""
    pixels = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    grey, chroma = colorization.split(pixels)
    for place in np.ndindex(2, 4, 4):
        colour = pixels[place[0], :, place[1], place[2]].tolist()
        found = [grey[place[0], 0, place[1], place[2]], *chroma[place[0], :, place[1], place[2]]]
        assert [float(value) for value in found] == pytest.approx(colorsys.rgb_to_yiq(*colour), abs=0.02)
    torch.testing.assert_close(colorization.joined(grey, chroma), pixels, atol=1e-5, rtol=0)


def test_images_that_an_objective_cannot_use_are_refused():
    with pytest.raises(ConfigError, match="without colours"):
        colorization.Objective(colorization.Config(), trunk(images()))
    oblong = Arrays(np.arange(4 * 8 * 12, dtype=np.uint8).reshape(4, 8, 12, 1))
    with pytest.raises(ConfigError, match="another shape"):
        rotation.Objective(rotation.Config(), trunk(Images(Pretraining(size="nano"), oblong)))


def test_a_sample_that_is_twice_in_the_batch_is_no_negative_of_itself():
    torch.manual_seed(0)
    views = functional.normalize(torch.randn(6, 5), dim=1)
    rows = torch.cat([views[:3], views[:1], views[3:], views[3:4]])  # sample 0 again, with the same views
    ids = torch.tensor([0, 1, 2, 0])
    total = LOSSES["nt_xent"](compare(rows, rows, ids, ids), Config(temperature=0.1))
    logits = rows @ rows.T / 0.1
    for row, sample in enumerate(ids.repeat(2)):
        others = torch.cat([ids != sample, ids != sample])
        assert others.sum() == (4 if sample == 0 else 6)
        logits[row, ~others] = -math.inf
    position = torch.tensor([4, 5, 6, 4, 0, 1, 2, 0])
    for row, column in enumerate(position):
        logits[row, column] = rows[row] @ rows[column] / 0.1
    expected = functional.cross_entropy(logits, position, reduction="sum")
    assert total.item() == pytest.approx(expected.item(), rel=1e-5)
