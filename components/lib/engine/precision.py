"""Which number format a device computes in fastest, decided by what it says it has."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from components.lib.core.errors import ConfigError


def resolve(dial: str, device: torch.device) -> str:
    """Answers fp32, tf32 or bf16 for the dial auto, fp32, tf32 or bf16.

    bf16 without hardware for it is emulated: a hundred times slower on a CPU with AVX2 alone. So `auto`
    asks for the instructions, and does not time them: the answer must not depend on a noisy moment.

    Raises:
        ConfigError: if the device cannot compute so.
    """
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        possible = ["fp32", "tf32", "bf16"] if able else ["fp32"]  # a GPU has both or none
    else:
        has = torch.cpu.get_capabilities()
        able = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
        possible = ["fp32", "bf16"]
    if dial == "auto":
        return "bf16" if able else "fp32"
    if dial not in possible:
        expected = " or ".join(["auto", *possible])
        raise ConfigError(
            f"no {dial} on this device", where="precision", found=str(device), expected=expected
        )
    return dial


def settle(precision: str, device: torch.device) -> None:
    """Products of fp32 numbers on a GPU are rounded to TF32, unless all is to be fp32.

    torch by itself rounds convolutions but not matrix products, whatever was asked for. Beside bf16 nothing
    is lost by it, as most products are coarser there.
    """
    if device.type == "cuda":
        kind = "ieee" if precision == "fp32" else "tf32"
        torch.backends.cuda.matmul.fp32_precision = kind
        torch.backends.cudnn.conv.fp32_precision = kind  # type: ignore[attr-defined]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass: weights stay fp32, products are computed in `precision`."""
    if precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
