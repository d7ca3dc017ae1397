"""Static word embeddings: one learned vector a vocabulary entry, and a text as their weighted sum.

No attention and no word order, as in fastText (Joulin et al., 2017), SIF (Arora et al., 2017) and model2vec
(2024): a text costs one row of a table for each of its tokens, however long it is. `register` adds the
networks to the Auto classes of `transformers`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput


class StaticEmbeddingsConfig(PreTrainedConfig):  # type: ignore[misc]
    """Sizes of the table, and the ids that say nothing: special tokens and [UNK]."""

    model_type = "static_embeddings"
    vocab_size: int = 32_000
    hidden_size: int = 300
    num_hidden_layers: int = 1
    max_position_embeddings: int = 32_768
    ignored_ids: list[int] | tuple[int, ...] = ()


class _Pretrained(PreTrainedModel):  # type: ignore[misc]
    config_class = StaticEmbeddingsConfig
    READS_BOTH = True  # ids say how much each vector counts, also where vectors are given
    base_model_prefix = "trunk"
    main_input_name = "input_ids"

    def _init_weights(self, module: nn.Module) -> None:
        """Random vectors, and layers that change next to nothing; a head as BERT's."""
        if isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.005)
        elif isinstance(module, nn.Linear):
            std = 0.002 if module.out_features == self.config.hidden_size else 0.02
            nn.init.normal_(module.weight, std=std)
            nn.init.zeros_(module.bias)


class Layer(nn.Module):
    """A residual feed-forward layer on text vectors, which keeps their length."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, 2 * width)
        self.outer = nn.Linear(2 * width, width)

    def forward(self, vectors: Tensor) -> Tensor:
        """(n, width) -> (n, width)."""
        return unit(vectors + self.outer(nn.functional.gelu(self.inner(vectors))))


def unit(vectors: Tensor) -> Tensor:
    """Vectors of length sqrt(width), in fp32; a zero vector stays."""
    return nn.functional.normalize(vectors.float(), dim=1) * vectors.shape[1] ** 0.5


class StaticEmbeddings(_Pretrained):
    """text = layers(unit(sum over distinct tokens of (1 + log count) x idf x importance x vector)).

    Attributes:
        idf: (vocabulary,) inverse document frequencies in the corpus of pre-training; 0 of ignored ids.
        importance: (vocabulary,) learned weights.
    """

    def __init__(self, config: StaticEmbeddingsConfig) -> None:
        super().__init__(config)
        self.embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.importance = nn.Parameter(torch.ones(config.vocab_size))
        self.layers = nn.ModuleList(Layer(config.hidden_size) for _ in range(config.num_hidden_layers))
        idf = torch.ones(config.vocab_size)
        idf[list(config.ignored_ids)] = 0.0
        self.idf: Tensor
        self.register_buffer("idf", idf)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table."""
        return self.embeddings

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **_: Any,
    ) -> BaseModelOutput:
        """(n, L) ids, padded -> last_hidden_state (n, width): one vector a text.

        `inputs_embeds` (n, L, width) stand for the vectors of the table.
        """
        ordered = input_ids.sort(dim=1).values
        counts = torch.searchsorted(ordered, input_ids, right=True) - torch.searchsorted(ordered, input_ids)
        shares = (1 + counts.log()) / counts  # of each of the `counts` places where the token stands
        if attention_mask is not None:
            shares = shares * attention_mask
        starts = torch.arange(len(input_ids), device=input_ids.device) * input_ids.shape[1]
        table = None if inputs_embeds is None else inputs_embeds.flatten(0, 1)
        found = self.bags(input_ids.flatten(), shares.flatten(), starts, table)
        return BaseModelOutput(last_hidden_state=found)

    def bags(self, ids: Tensor, weights: Tensor, starts: Tensor, vectors: Tensor | None = None) -> Tensor:
        """Text vectors, of length sqrt(width); 0 where all of a text's tokens are ignored.

        Args:
            ids: (T,) tokens of all texts, one text after the other.
            weights: (T,) how much each counts: 1 + the logarithm of how often it stands there.
            starts: (n,) where each text begins.
            vectors: (T, width), where they are not those of the table.

        Returns:
            (n, width).
        """
        table = self.embeddings.weight if vectors is None else vectors
        # not self.importance[ids]: with several threads its gradient is summed in any order
        importance = nn.functional.embedding(ids, self.importance[:, None])[:, 0]
        scales = (weights * self.idf[ids] * importance).to(table.dtype)
        rows = ids if vectors is None else torch.arange(len(ids), device=ids.device)
        sums = nn.functional.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=scales)
        found = unit(sums)
        for layer in self.layers:
            found = layer(found)
        return found


class StaticEmbeddingsForSequenceClassification(_Pretrained):
    """A linear layer on the text vector."""

    def __init__(self, config: StaticEmbeddingsConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.trunk = StaticEmbeddings(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Logits (n, classes), and the cross-entropy if labels are given."""
        logits = self.classifier(self.trunk(input_ids, attention_mask, inputs_embeds).last_hidden_state)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def register() -> None:
    """Registers these networks with the Auto classes of `transformers`; idempotent."""
    config = StaticEmbeddingsConfig
    AutoConfig.register(config.model_type, config, exist_ok=True)
    AutoModel.register(config, StaticEmbeddings, exist_ok=True)
    AutoModelForSequenceClassification.register(
        config, StaticEmbeddingsForSequenceClassification, exist_ok=True
    )
