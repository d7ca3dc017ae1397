"""The fully connected network, as a kind of model of `transformers`; importing this registers it."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from components.lib.models.branch import Branch


class VectorsConfig(PreTrainedConfig):
    """From `inputs` numbers through the hidden layers to the code, the last of them."""

    model_type = "trunkline_vectors"
    inputs: int = 784
    hidden_sizes: list[int] | tuple[int, ...] = (784, 256, 32)


class VectorsModel(PreTrainedModel):
    """Layers with ReLU between them; the code is linear."""

    config_class = VectorsConfig
    base_model_prefix = "trunk"
    main_input_name = "numbers"

    def __init__(self, config: VectorsConfig) -> None:
        super().__init__(config)
        widths = [config.inputs, *config.hidden_sizes]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)

    def forward(self, numbers: Tensor, **_: Any) -> BaseModelOutput:
        """(n, inputs) -> last_hidden_state (n, code)."""
        hidden = numbers
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden.relu() if number else hidden)
        return BaseModelOutput(last_hidden_state=hidden)


AutoConfig.register(VectorsConfig.model_type, VectorsConfig, exist_ok=True)
AutoModel.register(VectorsConfig, VectorsModel, exist_ok=True)


class Head(Branch):
    """A linear layer on the code: `logits` (n, outputs)."""

    outputs = 1

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.head = nn.Linear(config.hidden_sizes[-1], self.outputs or len(config.id2label))

    def forward(self, **inputs: Tensor) -> SimpleNamespace:
        """A score for each class."""
        return SimpleNamespace(logits=self.head(self.trunk(**inputs).last_hidden_state.relu()))


class VectorClassifier(Head):
    """As many outputs as classes."""

    outputs = 0


class VectorRegressor(Head):
    """One output."""
