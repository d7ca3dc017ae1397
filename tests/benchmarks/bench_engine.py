"""What the engine itself costs: against a bare loop, a bare gather, one process, and no checkpoints.

    python -m tests.benchmarks.bench_engine

All sides of a ratio take turns in one run. The model and the texts of natural lengths are those of
`bench_training`.
"""

import tempfile
from collections.abc import Callable
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
from components.lib.engine.optimization import Schedule
from components.lib.engine.order import Order
from components.lib.engine.precision import autocast
from components.lib.engine.trainable import WeightedSum
from components.lib.modalities.text.tokens import TokenShards
from components.lib.storage.artifacts import Key
from components.lib.storage.objects import connect
from components.lib.storage.store import Store
from tests.benchmarks.bench_training import BATCH, model_of, samples, segments
from tests.benchmarks.history import record, sized
from tests.benchmarks.turns import PRECISION, run_of, seconds, spread, turns
from tests.components.lib.engine import worlds

STEPS, ROUNDS = sized((10, 5), (2, 1))
SCHEDULE = Schedule("linear", 1e-3, STEPS, 0.1)
STALLED_EVERY = 120.0  # seconds of work for each checkpoint
GATHERS, ROWS, GATHERED = sized(((32, 128, 512), 60_000, 400), ((8,), 600, 5))  # rows a batch, of, batches


def bare(texts: Any, model: WeightedSum) -> None:
    """The same steps as a person would write them, with all the same tricks and nothing else."""
    order = Order(len(texts), BATCH, 0)
    decayed, others = ([p for p in model.parameters() if (p.ndim >= 2) == large] for large in (True, False))
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    batches = prefetch(lambda step: model.prepare(texts, order.draw(step)), 0, STEPS)
    for step, (batch,) in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = SCHEDULE.rate(step)
        with autocast(PRECISION, torch.device("cpu")):
            loss = model.terms["masked_lm"](batch)
        (loss.total / loss.weight).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def against_a_bare_loop() -> dict[str, float]:
    """Steps a second of the engine over those of the bare loop."""
    texts = samples(segments())
    plain, ours = model_of(texts), model_of(texts)
    sides = {
        "bare": lambda: seconds(partial(bare, texts, plain)),
        "engine": lambda: seconds(run_of(ours, texts, SCHEDULE, BATCH).train),
    }
    taken = turns(sides, ROUNDS)
    return spread(taken["bare"] / taken["engine"])


def _rates(world: World, batch: int, rounds: int) -> list[dict[str, float]]:
    """Real tokens a second, round after round: of one process alone, of each for itself, and together."""
    texts, runs = samples(segments(16 * BATCH)), {}
    schedule = Schedule("linear", 1e-3, max(3, 6 * BATCH // batch), 0.1)
    for kind in ("alone", "apart", "together"):
        group = world if kind == "together" else ALONE
        runs[kind] = run_of(model_of(texts), texts, schedule, batch * group.size, world=group)
        runs[kind].train()  # wraps the model, which is not what a step costs
    rates = []
    for _ in range(rounds):
        rates.append(dict.fromkeys(runs, 0.0))
        for kind, run in runs.items():
            run.step, before = 0, run.meter.counts["real"]
            dist.barrier()
            if kind != "alone" or world.leads:
                taken = seconds(run.train)
                rates[-1][kind] = (run.meter.counts["real"] - before) / taken
    return rates


def weak_scaling() -> dict[str, float]:
    """Two processes of one thread over one; and two that do not talk, which is what the machine gives.

    All within seconds in the same processes: what else runs on a host comes and goes.
    """
    figures, (starts, rounds) = {}, sized((2, 3), (1, 1))
    for batch in (BATCH, 4 * BATCH):
        answers = (worlds.run(_rates, 2, batch, rounds) for _ in range(starts))
        pairs = [pair for answer in answers for pair in zip(*answer, strict=True)]
        for kind in ("together", "apart"):
            ratios = [sum(rates[kind] for rates in pair) / pair[0]["alone"] for pair in pairs]
            figures |= {f"{kind}_at_{batch}_texts": median(ratios), f"{kind}_at_{batch}_best": max(ratios)}
    return figures


def checkpoint_stall() -> dict[str, float]:
    """Seconds a checkpoint keeps training waiting, and takes in all, beside DCP's own save."""
    texts, stalls, whole, dcp = samples(segments()), [], [], []
    with tempfile.TemporaryDirectory() as folder:
        kept = Checkpoints(connect(folder), "c", {})
        run = run_of(model_of(texts), texts, SCHEDULE, BATCH, checkpoints=kept, checkpoint_every=STEPS // 2)
        run.train()
        tensors, save = run.engine.state(), torch.distributed.checkpoint.save
        for number in range(ROUNDS):
            stalls.append(seconds(partial(kept.save, 100 + number, tensors, {})))
            whole.append(stalls[-1] + seconds(kept.wait))
            place = f"{folder}/dcp-{number}"
            dcp.append(seconds(partial(save, tensors, checkpoint_id=place, no_dist=True)))
    figures = {"stall_seconds": median(stalls), "seconds_with_hash_and_commit": median(whole)}
    figures |= {"share_at_one_in_two_minutes": median(stalls) / STALLED_EVERY, "dcp_seconds": median(dcp)}
    return figures | {"megabytes": sum(tensor.nbytes for tensor in tensors.values()) / 1e6}


def against_a_bare_gather() -> dict[str, float]:
    """By samples a batch."""
    found = {batch: _gathers(batch) for batch in GATHERS}
    return {f"{name}_at_{batch}": value for batch, each in found.items() for name, value in each.items()}


def _gathers(batch: int, width: int = 512) -> dict[str, float]:
    """Batches a second of order and shards, over a gather from a memory map in an order that is known.

    Bare are slices of the map, one a sample, as loaders of one file have it; rows of one length also have one
    indexing by numpy, which nothing that is written in Python can beat.
    """
    generator, figures = np.random.default_rng(0), {}
    natural = np.clip(generator.lognormal(np.log(60), 0.8, ROWS), 4, width).astype(np.int64)
    known = generator.permutation(ROWS)
    for kind, lengths in (("rows", np.full(ROWS, width)), ("documents", natural)):
        with tempfile.TemporaryDirectory() as folder:
            shards, path = _shards(folder, lengths)
            order, begin, starts = Order(ROWS, batch, 0), np.zeros(batch, np.int64), shards.starts
            table = np.memmap(path, np.uint16, mode="r")

            def ours(step: int, order=order, shards=shards, lengths=lengths, begin=begin) -> Any:
                ids = order.draw(step).ids
                return shards.gather(ids, begin, lengths[ids])[0].astype(np.int64)

            def slices(step: int, table=table, starts=starts) -> Any:
                ids = known[step * batch % (ROWS - batch) :][:batch]
                return np.concatenate([table[starts[i] : starts[i + 1]] for i in ids]).astype(np.int64)

            def indexing(step: int, table=table) -> Any:
                ids = known[step * batch % (ROWS - batch) :][:batch]
                return table.reshape(ROWS, width)[ids].astype(np.int64)

            for side in (slices, indexing) if kind == "rows" else (slices,):
                sides = {"bare": partial(_drained, side), "ours": partial(_drained, ours)}
                taken = turns(sides, ROUNDS)
                figures[f"{kind}_over_{side.__name__}"] = float(np.median(taken["bare"] / taken["ours"]))
            rate = GATHERED * batch * lengths.mean() / taken["ours"][-1]
            figures[f"{kind}_mega_tokens_per_second"] = float(rate / 1e6)
    return figures


def _drained(side: Callable[[int], Any]) -> float:
    """Seconds of all batches, each let go of: to keep them would measure the system's new memory."""

    def drain() -> None:
        for step in range(GATHERED):
            side(step)

    return seconds(drain)


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
    return {"seconds": seconds(lambda: next(batches))}


def main() -> None:
    """Prints and records each measurement."""
    for work in (against_a_bare_loop, weak_scaling, checkpoint_stall, against_a_bare_gather, first_batch):
        figures = work()
        told = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        print(f"{work.__name__:<24} {told}", flush=True)
        about = {"precision": PRECISION, "threads": torch.get_num_threads()}
        record(f"engine_{work.__name__}", {**figures, **about})


if __name__ == "__main__":
    main()
