"""Objectives on images against their papers: the loss and the gradient of every weight, in float64.

Trunk and decoders are copies; heads, views of a batch and losses are written here, image by image.
"""

import copy

import numpy as np
import pytest
import torch
from torch.nn.functional import layer_norm

from components.lib.engine import device_noise
from components.lib.engine.trainable import MAIN
from tests.components.lib.objectives.test_contract import build
from tests.made.in_memory import draw

YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])  # NTSC, 1953


def unit(vector):
    return vector / vector.square().sum().sqrt()


def affine(layer, values):
    return values @ layer.weight.T + layer.bias


def similarities(it, batch):
    """s[i][j] of all views, the first ones of all images before the second ones."""
    rows = []
    for view in (batch.first, batch.second):
        pooled = it.trunk.read(view.pixels().double()).mean(1)
        rows += [unit(affine(it.head[2], affine(it.head[0], row).relu())) for row in pooled]
    return [[a @ b for b in rows] for a in rows]


def nt_xent(it, batch):
    """Chen et al., equation 1."""
    s, total = similarities(it, batch), 0.0
    for i, row in enumerate(s):
        chances = sum((row[k] / it.config.temperature).exp() for k in range(len(s)) if k != i)
        total = total - ((row[(i + len(s) // 2) % len(s)] / it.config.temperature).exp() / chances).log()
    return total


def triplet(it, batch):
    """Hermans et al., equation 5, in cosines."""
    s, total = similarities(it, batch), 0.0
    for i, row in enumerate(s):
        j = (i + len(s) // 2) % len(s)
        hardest = max((row[k] for k in range(len(s)) if k not in (i, j)), key=torch.Tensor.item)
        total = total + (it.config.margin + hardest - row[j]).clamp(min=0)
    return total


def circle(it, batch):
    """Sun et al., equations 5 and 6; the weights are constants of the gradient (section 3.2)."""
    s, m, gamma, total = similarities(it, batch), it.config.margin, it.config.scale, 0.0
    for i, row in enumerate(s):
        j = (i + len(s) // 2) % len(s)
        pull = max(0.0, 1 + m - row[j].item()) * (row[j] - (1 - m))
        push = sum(
            (gamma * max(0.0, row[k].item() + m) * (row[k] - m)).exp()
            for k in range(len(s))
            if k not in (i, j)
        )
        total = total + (1 + push * (-gamma * pull).exp()).log()
    return total


def byol(it, batch):
    """Grill et al., equation 2, both ways round; batch norms have the statistics of the batch."""

    def head(layers, rows):
        first, norm, _, last = layers
        hidden = rows @ first.weight.T
        centred = hidden - hidden.mean(0)
        normal = centred / (centred.square().mean(0) + norm.eps).sqrt()
        return affine(last, (normal * norm.weight + norm.bias).relu())

    total = 0.0
    for one, other in ((batch.first, batch.second), (batch.second, batch.first)):
        features = it.trunk.read(one.pixels().double()).mean(1)
        guesses = head(it.predictor, head(it.projector, features))
        with torch.no_grad():
            slow = it.teacher["trunk"].read(other.pixels().double()).mean(1)
            targets = head(it.teacher["projector"], slow)
        for guess, target in zip(guesses, targets, strict=True):
            total = total + (unit(guess) - unit(target)).square().sum()
    return total


def autoencoder(it, batch):
    """Error of the pixels, size of the code, and equation 1 of Cogswell et al."""
    pixels = batch.pixels().double()
    codes = it.trunk.read(pixels).mean((2, 3))
    first, last = it.decoder.layers
    total, count, width = 0.0, *codes.shape
    for image, code in zip(pixels, codes, strict=True):
        drawn = affine(last, affine(first, code).relu()).view_as(image)
        total = total + (drawn - image).square().mean() + it.config.sparsity * code.abs().mean()
    centred = codes - codes.sum(0) / count
    for i in range(width):
        for j in range(width):
            covariance = sum(row[i] * row[j] for row in centred) / count
            total = total + it.config.decorrelation * count * (i != j) * covariance.square() / 2
    return total


def drawn_by(it, pixels):
    """What `decoders.of_maps` makes of a ViT's patches, square by square."""
    hidden = it.trunk.read(pixels)
    first, _, last = it.decoder.layers
    side, across = it.trunk.model.config.patch_size, pixels.shape[3] // it.trunk.model.config.patch_size
    made = []
    for image in hidden:
        squares = [
            (last.weight.flatten(1) @ (first.weight.flatten(1) @ place + first.bias).relu() + last.bias).view(
                -1, side, side
            )
            for place in image
        ]
        rows = [torch.cat(squares[at : at + across], dim=2) for at in range(0, len(squares), across)]
        made.append(torch.cat(rows, dim=1))
    return made


def denoising(it, batch):
    """Vincent et al.: squared error against the image without the noise."""
    pixels = batch.pixels().double()
    given = device_noise.gaussian(batch.extra["keys"], pixels[0].numel()).double().view_as(pixels)
    made = drawn_by(it, pixels + it.config.noise * given)
    return sum((a - b).square().mean() for a, b in zip(made, pixels, strict=True))


def colorization(it, batch):
    """Squared error of ten times I and Q, from Y in all channels."""
    plain = batch.plain().double()
    y, *chroma = (sum(w * plain[:, c] for c, w in enumerate(weights)) for weights in YIQ)
    channels = zip(batch.frame.mean, batch.frame.std, strict=True)
    made = drawn_by(it, torch.stack([(y - mean) / std for mean, std in channels], dim=1))
    return sum((a - 10 * b).square().mean() for a, b in zip(made, torch.stack(chroma, dim=1), strict=True))


def masked_image(it, batch):
    """He et al.: the encoder has the visible patches, the error is that of the others."""
    pixels, side, total = batch.pixels().double(), it.patch, 0.0
    for image, order in zip(pixels, batch.extra["order"].tolist(), strict=True):
        seen, tokens = sorted(order[: it.visible]), it.trunk.embed(image[None])[0]
        hidden = it.trunk.encode(torch.stack([tokens[place] for place in seen])[None])[0]
        whole = [it.missing] * it.count
        for place, state in zip(seen, hidden, strict=True):
            whole[place] = affine(it.enter, state)
        decoded = it.layers(torch.stack([a + b for a, b in zip(whole, it.places, strict=True)])[None])[0]
        norm, leave = it.leave
        for place in set(range(it.count)) - set(seen):
            drawn = affine(leave, layer_norm(decoded[place], norm.normalized_shape, norm.weight, norm.bias))
            top, left = side * (place // (image.shape[2] // side)), side * (place % (image.shape[2] // side))
            target = image[:, top : top + side, left : left + side].flatten()
            if it.config.normalised:
                target = (target - target.mean()) / (target.var() + 1e-6).sqrt()
            total = total + (drawn - target).square().mean() / (it.count - it.visible)
    return total


def rotation(it, batch):
    """Gidaris et al., equations 2 and 3: the log of the chance of the turn that was made."""
    total = 0.0
    for image, turn in zip(batch.pixels().double(), batch.extra["turns"].tolist(), strict=True):
        turned = torch.from_numpy(np.rot90(image.numpy(), turn, (1, 2)).copy())
        scores = affine(it.head, it.trunk.read(turned[None]).mean(1)[0])
        total = total - (scores[turn].exp() / scores.exp().sum()).log()
    return total


def judged(it, pixels):
    return affine(it.head, it.trunk.read(pixels).mean(1))[:, 0]


def made_images(it, batch, player):
    latent = device_noise.gaussian(batch.extra["keys"][:, player], it.config.latent).double()
    shares = 1 / (1 + (-it.generator(latent)).exp())
    mean, std = (
        torch.tensor(values).double().view(-1, 1, 1) for values in (batch.frame.mean, batch.frame.std)
    )
    return (shares - mean) / std


def discriminator(it, batch):
    """Miyato et al., equation 16."""
    real, fake = judged(it, batch.pixels().double()), judged(it, made_images(it, batch, 0).detach())
    return sum((1 - r).clamp(min=0) + (1 + f).clamp(min=0) for r, f in zip(real, fake, strict=True))


def generator(it, batch):
    """Miyato et al., equation 17."""
    return -sum(judged(it, made_images(it, batch, 1)))


# reference, objective, its options, the trunk, phase
CASES = [
    (nt_xent, "contrastive", {"temperature": 0.2}, "vit", MAIN),
    (triplet, "contrastive", {"loss": "triplet", "margin": 0.4}, "vit", MAIN),
    (circle, "contrastive", {"loss": "circle", "scale": 16.0}, "vit", MAIN),
    (byol, "byol", {"hidden": 24, "projection": 8}, "vit", MAIN),
    (autoencoder, "autoencoder", {"sparsity": 0.3, "decorrelation": 0.7}, "mlp", MAIN),
    (denoising, "denoising", {"noise": 0.5}, "vit", MAIN),
    (masked_image, "masked_image", {}, "vit", MAIN),
    (masked_image, "masked_image", {"normalised": False, "ratio": 0.5}, "vit", MAIN),
    (colorization, "colorization", {}, "vit", MAIN),
    (rotation, "rotation", {}, "vit", MAIN),
    (discriminator, "adversarial", {"latent": 8}, "vit", MAIN),
    (generator, "adversarial", {"latent": 8}, "vit", "generator"),
]


def moved(objective):
    """With no weight at 0 or 1, so that each one tells, and a teacher that is not its student."""
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return objective


@pytest.mark.parametrize(
    ("reference", "name", "options", "architecture", "phase"), CASES, ids=[case[0].__name__ for case in CASES]
)
def test_loss_and_gradient_are_the_papers(reference, name, options, architecture, phase):
    samples, _, objective = build(name, "image", architecture, options)
    torch.manual_seed(1)
    ours = moved(objective)
    theirs = copy.deepcopy(ours).double()
    batch = ours.prepare(samples, draw(6))
    several = hasattr(ours, "phases")
    loss = (ours(batch, phase) if several else ours(batch)).total
    expected = reference(theirs, batch)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    parameters, others = (
        [p for p in (it.phases()[phase].parameters if several else it.parameters()) if p.requires_grad]
        for it in (ours, theirs)
    )
    found = torch.autograd.grad(loss, parameters, materialize_grads=True)
    wanted = torch.autograd.grad(expected, others, materialize_grads=True)
    scale = torch.cat([gradient.flatten() for gradient in wanted]).norm().item()
    assert scale > 0.1
    for gradient, other in zip(found, wanted, strict=True):
        assert (gradient.double() - other).norm().item() < 1e-5 * scale
