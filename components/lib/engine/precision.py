"""Which number format a device computes in fastest, decided by what it says it has."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from components.lib.errors import ConfigError


def resolve(dial: str, device: torch.device) -> str:
    """Answers fp32 or bf16 for the dial auto, fp32 or bf16.

    bf16 without hardware for it is emulated: a hundred times slower on a CPU with AVX2 alone. So `auto`
    asks for the instructions, and does not time them: the answer must not depend on a noisy moment.
    """
    if dial == "fp32":
        return dial
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = torch.cpu.get_capabilities()
        able = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    if dial == "bf16" and not able and device.type == "cuda":
        raise ConfigError("this device has no bf16", where="precision", found=str(device), fix="use fp32")
    return "bf16" if dial == "bf16" or able else "fp32"


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass: weights stay fp32, products are computed in `precision`."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
