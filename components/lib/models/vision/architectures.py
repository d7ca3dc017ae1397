"""Vision model configurations by architecture and size, built by `transformers` with random weights.

`nano` and `micro` are for CPUs and tests; `tiny`, `small` and `base` of a ViT are those of DeiT (Touvron et
al., 2021); a small ResNet is ResNet-18, a base one ResNet-50.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# name: channels of the four blocks
CNN = {
    "nano": (16, 32, 64, 128),
    "micro": (32, 64, 128, 256),
    "tiny": (48, 96, 192, 384),
    "small": (64, 128, 256, 512),
    "base": (96, 192, 384, 768),
}
# name: channels of the stem, of the stages, blocks of a stage, kind of block
RESNET = {
    "nano": (16, (16, 32, 64, 128), (1, 1, 1, 1), "basic"),
    "micro": (32, (32, 64, 128, 256), (1, 1, 1, 1), "basic"),
    "tiny": (64, (64, 128, 256, 512), (1, 1, 1, 1), "basic"),
    "small": (64, (64, 128, 256, 512), (2, 2, 2, 2), "basic"),
    "base": (64, (256, 512, 1024, 2048), (3, 4, 6, 3), "bottleneck"),
}
# name: layers, width, heads
VIT = {
    "nano": (2, 64, 2),
    "micro": (4, 128, 4),
    "tiny": (12, 192, 3),
    "small": (12, 384, 6),
    "base": (12, 768, 12),
}
# name: widths of the layers, the last one is the code
MLP = {"nano": (64, 16), "micro": (128, 32), "tiny": (192, 32), "small": (256, 32), "base": (1024, 256, 64)}

BATCH_NORM = ("cnn", "resnet")  # architectures with batch norm


@dataclass(frozen=True)
class Dials:
    """Hyper-parameters of an image trunk.

    Attributes:
        patch: patch size of a ViT, in pixels.
        dropout: of the hidden states of a ViT; none of attention weights.
    """

    size: str
    height: int
    width: int
    channels: int
    patch: int
    dropout: float = 0.0

    def image(self) -> dict[str, Any]:
        """The input under the names of `transformers`."""
        return {"num_channels": self.channels, "image_size": [self.height, self.width]}


def cnn(dials: Dials) -> Any:
    """Plain convolutional network, as in tutorials of contrastive learning."""
    from components.lib.models.vision.networks import SmallCnnConfig

    return SmallCnnConfig(**dials.image(), hidden_sizes=list(CNN[dials.size]))


def resnet(dials: Dials) -> Any:
    """He et al., "Deep residual learning", 2016, with CIFAR's stem."""
    from components.lib.models.vision.networks import SmallResNetConfig

    stem, widths, depths, kind = RESNET[dials.size]
    stages = {"hidden_sizes": list(widths), "depths": list(depths), "layer_type": kind}
    return SmallResNetConfig(**dials.image(), embedding_size=stem, **stages)


def vit(dials: Dials) -> Any:
    """Dosovitskiy et al., "ViT", 2021, pooled by the mean of its patches and without a class token.

    So do Beyer et al. ("Better plain ViT baselines", 2022), and objectives that predict patches train no
    class token anyway. `transformers` has this ViT as IJepaModel, with its classifier.
    """
    from transformers import IJepaConfig

    layers, width, heads = VIT[dials.size]
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
    sizes |= {"intermediate_size": 4 * width, "patch_size": dials.patch}
    drops = {"hidden_dropout_prob": dials.dropout, "attention_probs_dropout_prob": 0.0}
    return IJepaConfig(**dials.image(), **sizes, **drops, layer_norm_eps=1e-6)


def mlp(dials: Dials) -> Any:
    """Hinton and Salakhutdinov, "Reducing the dimensionality of data", 2006: 784-256-32 on 28 x 28."""
    from components.lib.models.vision.networks import SmallMlpConfig

    return SmallMlpConfig(**dials.image(), hidden_sizes=list(MLP[dials.size]))


ARCHITECTURES: dict[str, Callable[[Dials], Any]] = {"cnn": cnn, "resnet": resnet, "vit": vit, "mlp": mlp}
