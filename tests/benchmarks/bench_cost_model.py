"""What a step and a day of training cost on more machines than there are here: a model, not a measurement.

    python -m tests.benchmarks.bench_cost_model

A step of W GPUs takes compute + max(0, communication - overlap * compute) + latency, where
    compute        = FLOPs of a GPU's share / (peak * MFU of one GPU)
    communication  = bytes / bandwidth, of the slowest link that a ring over all GPUs crosses
        DDP    2 (W-1)/W * 4 N bytes       one all-reduce of fp32 gradients (rings: Patarasuk and Yuan, 2009)
        FSDP   (W-1)/W * (2 + 2 + 4) N     two all-gathers in bf16, one reduce-scatter in fp32
    latency        = alpha * 2 log2(W) * buckets or blocks, half of it hidden as well
Goodput is 1 - w/t - (r + t/2)/MTTF with the best t = sqrt(2 w MTTF) (Young, 1974; Daly, 2006).

Assumptions, and where they are from:
    H100 SXM: 989 TFLOP/s bf16 dense, 80 GB, NVLink 450 GB/s a direction (NVIDIA data sheet)
    one GPU alone reaches an MFU of 0.45: published stacks report 0.33 to 0.58 on H100 (torchtitan, Kempner)
    InfiniBand NDR: 50 GB/s a GPU, one port each (NVIDIA data sheet), of which 80 % arrive
    alpha: 10 us within a machine of 8, 25 us between machines (of the order that nccl-tests print)
    70 % of communication hides behind compute (the last bucket and the first gather cannot)
    failures: 419 unplanned in 54 days of 16,384 GPUs, so 50,700 hours for one (Llama 3 report, 2024)
    a failure costs r = 60 s to be noticed, restarted and loaded; a checkpoint stalls w = 0.1 s
    a weight takes 16 bytes of state, divided by W under FSDP; activations are recomputed in the rest
Not modelled: stragglers, a full network, pipeline or tensor parallelism. No GPU has run this code yet.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from statistics import median

import torch
import torch.distributed as dist

from components.lib.engine.distributed import World
from components.lib.engine.parallel import STATE
from tests.benchmarks.history import record, sized
from tests.components.lib.engine import worlds

PEAK, MEMORY, ALONE_MFU, OVERLAP = 989e12, 80e9, 0.45, 0.7
NEAR, FAR = (450e9, 10e-6), (0.8 * 50e9, 25e-6)  # bytes a second, seconds of latency
MTTF, RECOVERY, STALL = 50_700 * 3600.0, 60.0, 0.1


@dataclass(frozen=True)
class Workload:
    """A model and what each GPU takes of a step (weak scaling)."""

    name: str
    parameters: float
    blocks: int
    width: int
    tokens: int
    length: int

    def flops(self) -> float:
        """Of a GPU in a step: 6 N a token and 12 l d L a token (Narayanan et al., 2021)."""
        return self.tokens * (6 * self.parameters + 12 * self.blocks * self.width * self.length)

    @property
    def sharded(self) -> bool:
        """Whether each GPU holds only its rows of the state."""
        return "FSDP" in self.name

    def fits(self, gpus: int) -> bool:
        """Whether the state leaves room in a GPU's memory."""
        return STATE * self.parameters / (gpus if self.sharded else 1) < MEMORY


WORKLOADS = (
    Workload("BERT-base, DDP", 110e6, 12, 768, 32_768, 512),
    Workload("GPT-2 124M, DDP", 124e6, 12, 768, 32_768, 1024),
    Workload("7 B, FSDP", 6.7e9, 32, 4096, 16_384, 4096),
)


def step(work: Workload, gpus: int) -> tuple[float, float]:
    """Seconds of a step, and the efficiency: the share that one GPU, large enough, would take."""
    compute = work.flops() / (PEAK * ALONE_MFU)
    if gpus == 1:
        return compute, 1.0
    speed, alpha = NEAR if gpus <= 8 else FAR
    whole = 8 * work.parameters * (gpus - 1) / gpus  # both kinds move eight bytes a weight
    messages = 3 * work.blocks if work.sharded else work.parameters * 4 / 25e6
    latency = alpha * 2 * math.log2(gpus) * messages / 2
    seconds = compute + max(0.3 * whole / speed, whole / speed - OVERLAP * compute) + latency
    return seconds, compute / seconds


def goodput(gpus: int) -> float:
    """The share of the time that is not lost to checkpoints and failures."""
    mttf = MTTF / gpus
    interval = math.sqrt(2 * STALL * mttf)
    return 1 - STALL / interval - (RECOVERY + interval / 2) / mttf


def _all_reduce(world: World, size: int, times: int) -> float:
    values, seconds = torch.zeros(size), []
    for _ in range(times):
        dist.barrier()
        start = time.perf_counter()
        world.all_reduce(values)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def main() -> None:
    """Measures the links of this machine, and prints what the model says of others."""
    few, many, size = sized((20, 200, 2**22), (2, 2, 2**16))
    alpha = worlds.run(_all_reduce, 2, 2, many)[0]
    speed = 4 * size / (worlds.run(_all_reduce, 2, size, few)[0] - alpha)
    print(f"here, gloo over loopback: alpha {alpha * 1e6:.0f} us, {speed / 1e9:.2f} GB/s (measured)")
    record("loopback", {"alpha_seconds": alpha, "bytes_per_second": speed})
    print(f"{'model (not run)':<18} {'GPUs':>5} {'step ms':>9} {'efficiency':>10} {'MFU':>6} {'goodput':>8}")
    for work in WORKLOADS:
        for gpus in (1, 8, 64, 256, 1024):
            if not work.fits(gpus):
                state = STATE * work.parameters / 1e9
                print(f"{work.name:<18} {gpus:>5}  its state, {state:.0f} GB, does not fit")
                continue
            taken, efficiency = step(work, gpus)
            mfu = efficiency * ALONE_MFU
            line = f"{taken * 1e3:>9.1f} {efficiency:>10.3f} {mfu:>6.3f} {goodput(gpus):>8.4f}"
            print(f"{work.name:<18} {gpus:>5} {line}")


if __name__ == "__main__":
    main()
