"""What a dial becomes on a device, and what torch is told of products of fp32 numbers."""

import pytest
import torch

from components.lib.core.errors import ConfigError
from components.lib.engine.precision import resolve, set_fp32_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")  # the second by name only: what is set needs no device


def told() -> tuple[str, str]:
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision


@pytest.fixture(autouse=True)
def _restored():
    matmul, conv = told()
    yield
    torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision = matmul, conv


def test_a_cpu_computes_in_fp32_or_bf16():
    assert resolve("fp32", CPU) == "fp32" and resolve("bf16", CPU) == "bf16"
    assert resolve("auto", CPU) in ("fp32", "bf16")
    with pytest.raises(ConfigError, match=r"(?s)no tf32 on this device.*auto or fp32 or bf16"):
        resolve("tf32", CPU)


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "ieee"), ("tf32", "tf32"), ("bf16", "tf32")])
def test_fp32_on_a_gpu_is_fp32_and_all_else_may_round_products(precision, kind):
    set_fp32_precision(precision, GPU)
    assert told() == (kind, kind)


def test_nothing_is_told_for_a_cpu():
    before = told()
    set_fp32_precision("bf16", CPU)
    assert told() == before
