"""Numeric precision: fp32, tf32 or bf16 autocast, by what the device says it has."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from components.lib.core.errors import ConfigError


def resolve(wanted: str, device: torch.device) -> str:
    """The precision for the setting auto, fp32, tf32 or bf16.

    bf16 without hardware for it is emulated: a hundred times slower on a CPU with AVX2 alone. So `auto`
    asks for the instructions, and does not time them: the answer must not depend on a noisy moment.

    Raises:
        ConfigError: if the device does not have it.
    """
    if device.type == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        possible = ["fp32", "tf32", "bf16"] if able else ["fp32"]  # a GPU has both or none
    else:
        has = torch.cpu.get_capabilities()
        able = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
        possible = ["fp32", "bf16"]
    if wanted == "auto":
        return "bf16" if able else "fp32"
    if wanted not in possible:
        expected = " or ".join(["auto", *possible])
        raise ConfigError(
            f"no {wanted} on this device", where="precision", found=str(device), expected=expected
        )
    return wanted


def set_fp32_precision(precision: str, device: torch.device) -> None:
    """TF32 matrix products and convolutions of fp32 numbers on a GPU, unless `precision` is fp32.

    torch's defaults round convolutions but not matrix products, whatever was asked for. Beside bf16 nothing
    is lost by TF32, as most products are coarser there.
    """
    if device.type == "cuda":
        kind = "ieee" if precision == "fp32" else "tf32"
        torch.backends.cuda.matmul.fp32_precision = kind
        torch.backends.cudnn.conv.fp32_precision = kind  # type: ignore[attr-defined]


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision of a forward pass: weights stay fp32, products are computed in `precision`."""
    if precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)
