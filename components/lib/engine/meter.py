"""Throughput, MFU and goodput: how fast training goes, and where the time goes."""

from __future__ import annotations

import resource
import statistics
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from components.lib.engine.precision import set_fp32_precision

WINDOW = 1000  # newest steps, whose median is the ideal step time


class Meter:
    """Counters and clock of a run on this rank, from construction on.

    All time since the run first began, restarts included, is in steps or lost to something that has a name;
    of the time in steps, the median step time of each is ideal, and the rest is `slow_steps`.

    Args:
        peak: FLOP/s of this rank's device; 0 = not known.

    Attributes:
        counts: of this rank: samples; real units of the modality; slots computed on, padding included; flops
            of forward and backward passes over real lengths, as Megatron counts them.
        lost: seconds by name, over all restarts of the run.
    """

    def __init__(self, peak: float = 0.0) -> None:
        self.peak = peak
        self.counts: defaultdict[str, float] = defaultdict(float)
        self.lost: defaultdict[str, float] = defaultdict(float)
        self.steps, self.step_seconds = 0, 0.0
        self._start, self._began = time.perf_counter(), time.time()
        self._before = 0.0  # seconds until this process began
        self._cpu = -time.process_time()  # seconds of the processes before, less those before this run
        self._typical: deque[float] = deque(maxlen=WINDOW)
        self._old: dict[str, float] = {}  # what was lost until then
        self._lap: tuple[float, dict[str, float], dict[str, float]] = (self._start, {}, {})

    def started(self) -> None:
        """Ends the startup time."""
        self.lost["startup"] += time.perf_counter() - self._start

    def count(self, **counts: float) -> None:
        """Adds one batch to the counts."""
        for name, value in counts.items():
            self.counts[name] += value

    @contextmanager
    def wait(self, name: str) -> Iterator[None]:
        """Adds the time of the block to what is lost to `name` (data, checkpoint, ...)."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.lost[name] += time.perf_counter() - start

    @contextmanager
    def stepping(self) -> Iterator[None]:
        """Times one step."""
        start = time.perf_counter()
        yield
        self._typical.append(time.perf_counter() - start)
        self.steps, self.step_seconds = self.steps + 1, self.step_seconds + self._typical[-1]

    def state(self) -> dict[str, Any]:
        """JSON of a checkpoint, so that the account goes on after a restart."""
        steps = {"steps": self.steps, "step_seconds": self.step_seconds}
        clocks = {"scheduled": self.scheduled(), "cpu_seconds": self.cpu_seconds(), "saved": time.time()}
        return {**steps, "lost": dict(self.lost), **clocks}

    def resume(self, state: dict[str, Any]) -> None:
        """Continues the account saved as `state`; the time from then on is lost to `interruption`."""
        gap = max(0.0, self._began - state["saved"])
        self._before = state["scheduled"] + gap
        self._cpu += state.get("cpu_seconds", 0.0)
        self.steps, self.step_seconds = self.steps + state["steps"], self.step_seconds + state["step_seconds"]
        self._old = {**state["lost"], "interruption": state["lost"].get("interruption", 0.0) + gap}
        for name, seconds in self._old.items():
            self.lost[name] += seconds

    def scheduled(self) -> float:
        """Seconds since the run first began."""
        return self._before + time.perf_counter() - self._start

    def cpu_seconds(self) -> float:
        """CPU time of this rank, all threads, since the run first began."""
        return self._cpu + time.process_time()

    def account(self) -> dict[str, float]:
        """Scheduled, ideal and lost seconds: the ideal and all that is lost add up to what was scheduled."""
        typical = statistics.median(self._typical) if self._typical else 0.0
        ideal = min(self.steps * typical, self.step_seconds)
        slow = self.step_seconds - ideal
        return {"scheduled": self.scheduled(), "ideal": ideal, "slow_steps": slow, **self.lost}

    def lap(self, world: int = 1) -> dict[str, float]:
        """Rates over all ranks since the last call."""
        now, (start, counts, lost) = time.perf_counter(), self._lap
        self._lap = (now, dict(self.counts), dict(self.lost))
        new = {name: value - counts.get(name, 0) for name, value in self.counts.items()}
        rates = _rates(new, now - start, world, self.peak)
        for name in ("data", "checkpoint"):
            share = (self.lost[name] - lost.get(name, 0.0)) / (now - start)
            rates[f"{name}_wait_share"] = round(share, 4)
        return {**rates, "memory_bytes": float(memory())}

    def summary(self, world: int = 1) -> dict[str, float]:
        """Rates over all ranks while training, goodput, and seconds lost."""
        mine = {name: seconds - self._old.get(name, 0.0) for name, seconds in self.lost.items()}
        aside = sum(mine.get(name, 0.0) for name in ("startup", "restore", "checkpoint", "evaluation"))
        busy = time.perf_counter() - self._start - aside
        rates = _rates(self.counts, max(busy, 1e-9), world, self.peak)
        account = self.account()
        named = {f"{name}_seconds": round(value, 3) for name, value in account.items()}
        goodput = account["ideal"] / max(account["scheduled"], 1e-9)
        named["cpu_seconds"] = round(world * self.cpu_seconds(), 3)
        return {**rates, "memory_bytes": float(memory()), "goodput": round(goodput, 4), **named}


def _rates(counts: dict[str, float], seconds: float, world: int, peak: float) -> dict[str, float]:
    samples, real, slots, flops = (counts.get(name, 0) for name in ("samples", "real", "slots", "flops"))
    rates = {
        "samples_per_second": round(world * samples / seconds, 2),
        "units_per_second": round(world * real / seconds, 1),
        "padded_units_per_second": round(world * slots / seconds, 1),
        "padding": round(1 - real / max(slots, 1), 4),
        "flops_per_second": round(world * flops / seconds, 1),
    }
    return {**rates, "mfu": round(flops / seconds / peak, 4)} if peak else rates


def memory() -> int:
    """Peak memory of this process in bytes: on its GPU, else of the machine."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peak_flops(device: torch.device, precision: str, seconds: float = 0.4, size: int = 1024) -> float:
    """Measured peak FLOP/s of a square matrix product on this device: the denominator of MFU.

    The best of short bursts: what else runs here for a moment does not count.
    """
    set_fp32_precision(precision, device)  # as training will have it
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    size = size if device.type == "cpu" else 8 * size
    left, right = (torch.ones(size, size, dtype=kind, device=device) for _ in range(2))
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        for _ in range(4):
            torch.mm(left, right)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 4 * 2 * size**3 / (time.perf_counter() - start))
    return best
