"""Classifiers of `transformers` as branches: build, start from a trunk, freeze, load."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from components.lib.core.errors import ConfigError, InternalError
from components.lib.models import loading, probe
from components.lib.models.branch import architecture
from components.lib.models.vision.networks import register


def build(auto: Any, config: Any, names: list[str]) -> nn.Module:
    """A classifier of the architecture in `config`, with random weights from torch's generator."""
    register()
    config = type(config).from_dict(config.to_dict())
    config.id2label = dict(enumerate(names))
    config.label2id = {name: number for number, name in enumerate(names)}
    model: nn.Module = auto.from_config(config)
    return model


def start_from(model: Any, trunk: nn.Module) -> None:
    """Copies the trunk's weights into the classifier; the head keeps its random ones.

    So does a pooling layer that published weights lack.

    Raises:
        InternalError: if the classifier has a trunk weight that the trunk lacks.
    """
    weights = trunk.state_dict()
    known = {name: value for name, value in weights.items() if name in model.base_model.state_dict()}
    told = model.base_model.load_state_dict(known, strict=False)
    missing = [name for name in told.missing_keys if not name.startswith("pooler.")]
    if missing:
        raise InternalError("the trunk lacks weights of the classifier", found=missing)


def freeze(model: Any, learning: int) -> None:
    """Only the head learns, and the last layers, so many.

    Raises:
        ConfigError: if there are fewer layers.
    """
    stack = layers(model.base_model)
    if learning > len(stack):
        raise ConfigError("the trunk has fewer layers", where="layers", found=learning, expected=len(stack))
    model.base_model.requires_grad_(False).eval()  # a batch norm would else move without a gradient
    for layer in list(stack)[len(stack) - learning :]:
        layer.requires_grad_(True).train()


def layers(trunk: nn.Module) -> nn.ModuleList:
    """The stack of blocks: the longest list of modules in the trunk, or in its encoder if it has one."""
    encoder: Any = getattr(trunk, "encoder", trunk)
    lists = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len)


def load(auto: Any, folder: Path) -> Any:
    """The branch in a folder, in evaluation mode: one of `auto`, or a probe."""
    register()
    return loading.model(probe.CLASSES.get(architecture(folder), auto), folder).eval()


def names(model: Any) -> list[str]:
    """The classes of a branch, in the order of its logits."""
    table = {int(number): name for number, name in model.config.id2label.items()}
    return [table[number] for number in range(len(table))]


def places(labels: Iterable[str], names: list[str]) -> list[int]:
    """Of each label its place in the classes."""
    index = {name: number for number, name in enumerate(names)}
    return [index[label] for label in labels]


def with_unknown(names: list[str], labels: Iterable[Any]) -> list[str]:
    """The classes of a branch, then those that only the labels know: it can never be right about them.

    Args:
        names: in the order of the branch's logits.
        labels: a class, or a list of classes, for each example.
    """
    found = {name for label in labels for name in (label if isinstance(label, list) else [label])}
    return names + sorted(found - set(names))


def fingerprint(module: nn.Module) -> str:
    """SHA-256 of weights and buffers: equal before and after, or it moved."""
    import hashlib

    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
