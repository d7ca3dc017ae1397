"""CNN, MLP and CIFAR ResNet for small images, as `transformers` models.

`register` adds them to its Auto classes, so that they are saved and loaded as any other: config.json and
safetensors, no code in the folder. Each has `pooler_output`, and a linear classifier on it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForImageClassification,
    PreTrainedConfig,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
)
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)


class SmallCnnConfig(PreTrainedConfig):  # type: ignore[misc]
    """A plain stack: each block halves the image."""

    model_type = "small_cnn"
    num_channels: int = 3
    image_size: list[int] | int = 32
    hidden_sizes: list[int] | tuple[int, ...] = (64, 128, 256, 512)


class SmallMlpConfig(PreTrainedConfig):  # type: ignore[misc]
    """Fully connected from pixels to a narrow code."""

    model_type = "small_mlp"
    num_channels: int = 1
    image_size: list[int] | int = 28
    hidden_sizes: list[int] | tuple[int, ...] = (256, 32)


class SmallResNetConfig(ResNetConfig):  # type: ignore[misc]
    """ResNet for images too small for its stem."""

    model_type = "small_resnet"
    image_size: list[int] | int = 32


class _Pretrained(PreTrainedModel):  # type: ignore[misc]
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def _init_weights(self, module: nn.Module) -> None:
        """He initialisation for what feeds a ReLU; norms as torch has them."""
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(
                module.weight, mode="fan_out" if isinstance(module, nn.Conv2d) else "fan_in"
            )
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.reset_parameters()


class SmallCnn(_Pretrained):
    """Four times: 3 x 3 convolution of stride 2, batch norm, ReLU; then the mean over places."""

    config_class = SmallCnnConfig
    base_model_prefix = "trunk"

    def __init__(self, config: SmallCnnConfig) -> None:
        super().__init__(config)
        widths = [config.num_channels, *config.hidden_sizes]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b in pairwise(widths)
        )
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPoolingAndNoAttention:
        """(n, C, H, W) -> last_hidden_state (n, width, h, w) and pooler_output (n, width, 1, 1)."""
        hidden = pixel_values
        for block in self.blocks:
            hidden = block(hidden)
        pooled = hidden.mean(dim=(2, 3), keepdim=True)
        return BaseModelOutputWithPoolingAndNoAttention(last_hidden_state=hidden, pooler_output=pooled)


class SmallMlp(_Pretrained):
    """Layers with ReLU between them; the last one is the code, and linear."""

    config_class = SmallMlpConfig
    base_model_prefix = "trunk"

    def __init__(self, config: SmallMlpConfig) -> None:
        super().__init__(config)
        size = config.image_size
        height, width = size if isinstance(size, list | tuple) else (size, size)
        widths = [config.num_channels * height * width, *config.hidden_sizes]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.post_init()

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPoolingAndNoAttention:
        """(n, C, H, W) -> last_hidden_state and pooler_output (n, width, 1, 1)."""
        hidden = pixel_values.flatten(1)
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden.relu() if number else hidden)
        code = hidden[:, :, None, None]
        return BaseModelOutputWithPoolingAndNoAttention(last_hidden_state=code, pooler_output=code)


class SmallResNet(ResNetModel):  # type: ignore[misc]
    """The residual network of `transformers` with a 3 x 3 stem of stride 1 and no max pooling (CIFAR's)."""

    config_class = SmallResNetConfig
    base_model_prefix = "trunk"

    def __init__(self, config: SmallResNetConfig) -> None:
        super().__init__(config)
        stem = self.embedder.embedder
        stem.convolution = nn.Conv2d(config.num_channels, config.embedding_size, 3, padding=1, bias=False)
        self.embedder.pooler = nn.Identity()
        nn.init.kaiming_normal_(stem.convolution.weight, mode="fan_out", nonlinearity="relu")


class _Classifier(_Pretrained):
    base_model_prefix = "trunk"
    body: type[PreTrainedModel]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.trunk = self.body(config)
        self.classifier = nn.Linear(config.hidden_sizes[-1], config.num_labels)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Only the head: the trunk has done its own."""
        if module is self.classifier:
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)

    def forward(
        self, pixel_values: Tensor, labels: Tensor | None = None, **_: Any
    ) -> ImageClassifierOutputWithNoAttention:
        """Logits (n, classes), and the cross-entropy if labels are given."""
        logits = self.classifier(self.trunk(pixel_values).pooler_output.flatten(1))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return ImageClassifierOutputWithNoAttention(loss=loss, logits=logits)


class SmallCnnForImageClassification(_Classifier):
    """A linear layer on the pooled features."""

    config_class, body = SmallCnnConfig, SmallCnn


class SmallMlpForImageClassification(_Classifier):
    """A linear layer on the code."""

    config_class, body = SmallMlpConfig, SmallMlp


class SmallResNetForImageClassification(_Classifier):
    """A linear layer on the pooled features."""

    config_class, body = SmallResNetConfig, SmallResNet


def register() -> None:
    """Registers these networks with the Auto classes of `transformers`; idempotent."""
    for config, model, classifier in (
        (SmallCnnConfig, SmallCnn, SmallCnnForImageClassification),
        (SmallMlpConfig, SmallMlp, SmallMlpForImageClassification),
        (SmallResNetConfig, SmallResNet, SmallResNetForImageClassification),
    ):
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, model, exist_ok=True)
        AutoModelForImageClassification.register(config, classifier, exist_ok=True)
