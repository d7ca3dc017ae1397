"""Passes of every objective on a device without values: `python -m ... device` prints what failed, as JSON.

Its tensors have shapes and a place, and nothing in them (torch's FakeTensor). So a tensor that was left on
the host, and a number that the host reads from the device or copies to it, is an error here; on a GPU both
are a wait in each step, or a crash that no test on a CPU sees. To be run in a process of its own, as torch
has one such device and everything asks for it.
"""

from __future__ import annotations

import json
import traceback
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from components.lib.engine.guard import Guard
from components.lib.engine.losses import Table
from components.lib.engine.trainable import WeightedSum
from components.lib.engine.transfer import mapped
from tests.components.lib.objectives.test_contract import CASES, build, draw

NAME = "card"


class Card(_DummyBackendModule):
    """What torch asks a device about."""

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        """Asked by autocast, also to switch it off."""
        return [torch.bfloat16]


def tried(name: str, modality: str) -> str | None:
    """A forward and backward pass, its table of losses and the judgement of its gradient."""
    samples, _, objective = build(name, modality)
    model = WeightedSum({name: objective}, {name: 1.0})
    batches = model.prepare(samples, draw())
    weights = dict((*model.named_parameters(), *model.named_buffers()))
    plain = {key: (tensor.detach(), tensor.requires_grad) for key, tensor in weights.items()}
    mode = FakeTensorMode()

    def there(tensor: Tensor) -> Any:
        return mode.from_tensor(tensor).to(NAME)

    try:
        with mode:
            state = {key: there(tensor).requires_grad_(trained) for key, (tensor, trained) in plain.items()}
            given, table = mapped(batches, there), Table(model)
            losses = [
                loss for phase in model.phases() for loss in functional_call(model, state, (given, phase))
            ]
            torch.stack([loss.total for loss in losses]).sum().backward()
            weighed = there(table.weights(batches))
            gradients = [tensor.grad for tensor in state.values() if tensor.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            bad = Guard(1, 3.0, torch.device(NAME)).judge(0, norm)
            assert {table.of(losses, weighed).device.type, bad.device.type} == {NAME}
    except Exception as error:
        frames = (f"{f.filename}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__))
        return f"{error!r} at {[frame for frame in frames if 'site-packages' not in frame]}"
    return None


if __name__ == "__main__":
    _setup_privateuseone_for_python_backend(NAME, Card())  # type: ignore[no-untyped-call]
    print(json.dumps({f"{name} {modality}": tried(name, modality) for name, modality in CASES}))
