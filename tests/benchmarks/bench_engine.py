"""What the engine itself costs: against a bare loop, a bare gather, one process, and no checkpoints.

    python -m tests.benchmarks.bench_engine

All sides of a ratio take turns in one run. The model and the texts of natural lengths are those of
`bench_training`.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.distributed import ALONE, World
from components.lib.engine.loader import prefetch
from components.lib.engine.loop import Run
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.plan import Plan
from components.lib.engine.precision import autocast, resolve
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.text.tokens import TokenShards
from components.lib.objectives import masked_lm
from components.lib.storage.artifacts import Key
from components.lib.storage.objects import connect
from components.lib.storage.store import Store
from tests.benchmarks.bench_training import BATCH, samples, segments, trunk
from tests.benchmarks.history import record
from tests.components.lib.engine import worlds

STEPS, ROUNDS = 10, 5
STALLED_EVERY = 120.0  # seconds of work for each checkpoint
PRECISION = resolve("auto", torch.device("cpu"))


def model_of(texts: Any) -> WeightedSum:
    """A new model with the same weights each time."""
    return WeightedSum(
        {"masked_lm": masked_lm.Objective(masked_lm.Config(), trunk(texts))}, {"masked_lm": 1.0}
    )


def plan_of(**options: Any) -> Plan:
    """Of one turn."""
    schedule = Schedule("linear", 1e-3, STEPS, 0.1)
    return Plan(schedule, precision=PRECISION, quiet=True, **{"report_every": 10**9, **options})


def engine(texts: Any, model: WeightedSum, **options: Any) -> tuple[Run, float]:
    """A turn of the engine, and its seconds."""
    plan = plan_of(checkpoint_every=options.pop("checkpoint_every", 0))
    run = Run(model, texts, Order(len(texts), BATCH, 0), plan, ALONE, **options)
    start = time.perf_counter()
    run.train()
    return run, time.perf_counter() - start


def bare(texts: Any, model: WeightedSum) -> float:
    """The same steps as a person would write them, with all the same tricks and nothing else."""
    order, schedule = Order(len(texts), BATCH, 0), plan_of().schedule
    decayed, others = ([p for p in model.parameters() if (p.ndim >= 2) == large] for large in (True, False))
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    start = time.perf_counter()
    batches = prefetch(lambda step: model.prepare(texts, order.draw(step)), 0, STEPS)
    for step, (batch,) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        with autocast(PRECISION, torch.device("cpu")):
            loss = model.terms["masked_lm"](batch)
        (loss.total / loss.weight).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return time.perf_counter() - start


def against_a_bare_loop() -> dict[str, float]:
    """Steps a second of the engine over those of the bare loop."""
    texts = samples(segments())
    sides = {"engine": model_of(texts), "bare": model_of(texts)}
    ratios = []
    for number in range(ROUNDS + 1):
        seconds = {"bare": bare(texts, sides["bare"]), "engine": engine(texts, sides["engine"])[1]}
        if number:
            ratios.append(seconds["bare"] / seconds["engine"])
    return {"ratio": median(ratios), "low": min(ratios), "high": max(ratios)}


def _turns(world: World, batch: int, rounds: int) -> list[dict[str, float]]:
    """Real tokens a second, round after round: of one process alone, of each for itself, and together."""
    texts, runs = samples(segments(512)), {}
    schedule = Schedule("linear", 1e-3, max(3, 6 * BATCH // batch), 0.1)
    for kind in ("alone", "apart", "together"):
        group = world if kind == "together" else ALONE
        order = Order(len(texts), batch * group.size, 0)
        runs[kind] = Run(model_of(texts), texts, order, replace(plan_of(), schedule=schedule), group)
        runs[kind].train()  # wraps the model, which is not what a step costs
    rates = []
    for _ in range(rounds):
        rates.append(dict.fromkeys(runs, 0.0))
        for kind, run in runs.items():
            run.step, before = 0, run.meter.counts["real"]
            dist.barrier()
            if kind != "alone" or world.leads:
                seconds = _seconds(run.train)
                rates[-1][kind] = (run.meter.counts["real"] - before) / seconds
    return rates


def weak_scaling() -> dict[str, float]:
    """Two processes of one thread over one; and two that do not talk, which is what the machine gives.

    All within seconds in the same processes: what else runs on a host comes and goes.
    """
    figures = {}
    for batch in (BATCH, 4 * BATCH):
        rounds = [pair for _ in range(2) for pair in zip(*worlds.run(_turns, 2, batch, 3), strict=True)]
        for kind in ("together", "apart"):
            ratios = [sum(rates[kind] for rates in pair) / pair[0]["alone"] for pair in rounds]
            figures |= {f"{kind}_at_{batch}_texts": median(ratios), f"{kind}_at_{batch}_best": max(ratios)}
    return figures


def checkpoint_stall() -> dict[str, float]:
    """Seconds a checkpoint keeps training waiting, and takes in all, beside DCP's own save."""
    texts = samples(segments())
    with tempfile.TemporaryDirectory() as folder:
        kept = Checkpoints(connect(folder), "c", {})
        run, _ = engine(texts, model_of(texts), checkpoints=kept, checkpoint_every=5)
        tensors, stalls, whole, dcp = run.engine.state(), [], [], []
        for number in range(ROUNDS):
            start = time.perf_counter()
            kept.save(100 + number, tensors, {})
            stalls.append(time.perf_counter() - start)
            kept.wait()
            whole.append(time.perf_counter() - start)
            start = time.perf_counter()
            torch.distributed.checkpoint.save(tensors, checkpoint_id=f"{folder}/dcp-{number}", no_dist=True)
            dcp.append(time.perf_counter() - start)
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    return {
        "stall_seconds": median(stalls), "share_at_one_in_two_minutes": median(stalls) / STALLED_EVERY,
        "seconds_with_hash_and_commit": median(whole), "dcp_seconds": median(dcp), "megabytes": size / 1e6,
    }  # fmt: skip


def against_a_bare_gather() -> dict[str, float]:
    """By samples a batch."""
    found = {batch: _gathers(batch) for batch in (32, 128, 512)}
    return {f"{name}_at_{batch}": value for batch, each in found.items() for name, value in each.items()}


def _gathers(batch: int, rows: int = 60_000, width: int = 512) -> dict[str, float]:
    """Batches a second of order and shards, over a gather from a memory map in an order that is known.

    Bare are slices of the map, one a sample, as loaders of one file have it; rows of one length also have one
    indexing by numpy, which nothing that is written in Python can beat.
    """
    generator = np.random.default_rng(0)
    natural = np.clip(generator.lognormal(np.log(60), 0.8, rows), 4, width).astype(np.int64)
    known, figures = generator.permutation(rows), {}
    for kind, lengths in (("rows", np.full(rows, width)), ("documents", natural)):
        with tempfile.TemporaryDirectory() as folder:
            shards, path = _shards(folder, lengths)
            order, begin, starts = Order(rows, batch, 0), np.zeros(batch, np.int64), shards.starts
            table = np.memmap(path, np.uint16, mode="r")

            def ours(step: int, order=order, shards=shards, lengths=lengths, begin=begin) -> Any:
                ids = order.draw(step).ids
                return shards.gather(ids, begin, lengths[ids])[0].astype(np.int64)

            def slices(step: int, table=table, starts=starts) -> Any:
                ids = known[step * batch % (rows - batch) :][:batch]
                return np.concatenate([table[starts[i] : starts[i + 1]] for i in ids]).astype(np.int64)

            def indexing(step: int, table=table) -> Any:
                ids = known[step * batch % (rows - batch) :][:batch]
                return table.reshape(rows, width)[ids].astype(np.int64)

            for bare in (slices, indexing) if kind == "rows" else (slices,):
                rate, ratios = _against(bare, ours, 400)
                figures[f"{kind}_over_{bare.__name__}"] = median(ratios)
            figures[f"{kind}_mega_tokens_per_second"] = float(rate * batch * lengths.mean() / 1e6)
    return figures


def _against(base: Callable[[int], Any], ours: Callable[[int], Any], steps: int) -> tuple[float, list[float]]:
    """Steps of ours a second, and how many times as many as of the base, round after round."""
    ratios = []
    for number in range(ROUNDS + 1):
        taken, mine = (_seconds(partial(_drained, side, steps)) for side in (base, ours))
        if number:
            ratios.append(taken / mine)
    return steps / mine, ratios


def _drained(side: Callable[[int], Any], steps: int) -> None:
    """Batches are let go of, as in training: to keep them would measure the system's new memory."""
    for step in range(steps):
        side(step)


def _shards(folder: str, lengths: Any) -> tuple[TokenShards, Path]:
    """Documents of these lengths in a store, and the file that holds their tokens."""
    store = Store(folder)
    with store.draft(Key("tokenization", 1, {})) as draft:
        tokens = np.random.default_rng(0).integers(0, 2**15, lengths.sum(), dtype=np.uint16)
        tokens.tofile(draft.folder / "train-00000.bin")
        np.save(draft.folder / "train-00000.offsets.npy", np.append(0, lengths.cumsum()))
        draft.add("train-00000.bin", len(lengths))
        draft.add("train-00000.offsets.npy", len(lengths))
        draft.facts = {"dtype": "uint16"}
        manifest = draft.commit()
    return TokenShards(store, manifest, "train"), store.open(manifest, "train-00000.bin")


def first_batch() -> dict[str, float]:
    """Seconds from a new process's order to the first batch at step 10^6."""
    texts = samples(segments())
    model, order = model_of(texts), Order(len(texts), BATCH, 1)
    batches = prefetch(lambda step: model.prepare(texts, order.draw(step)), 10**6, 10**6 + 1)
    return {"seconds": _seconds(lambda: next(batches))}


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Prints and records each measurement."""
    for work in (against_a_bare_loop, weak_scaling, checkpoint_stall, against_a_bare_gather, first_batch):
        figures = work()
        print(
            f"{work.__name__:<24} " + "  ".join(f"{name} {value:.4g}" for name, value in figures.items()),
            flush=True,
        )
        record(
            f"engine_{work.__name__}", {**figures, "precision": PRECISION, "threads": torch.get_num_threads()}
        )


if __name__ == "__main__":
    main()
