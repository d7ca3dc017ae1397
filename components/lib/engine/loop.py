"""The loop: one global batch a step, the same samples and the same gradient for any number of processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from components.lib.engine.checkpoint import Checkpoints, capture, restore
from components.lib.engine.distributed import World
from components.lib.engine.loader import prefetch
from components.lib.engine.meter import Meter, Progress
from components.lib.engine.optimization import Schedule, adamw, update
from components.lib.engine.order import Order
from components.lib.engine.precision import autocast
from components.lib.engine.randomness import Draw, hashed
from components.lib.engine.trainable import Loss, WeightedSum, units
from components.lib.errors import DataError, Interrupted
from components.lib.failpoints import reach

Row = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """All that decides a training run besides the model and the data.

    Attributes:
        micro_batch: samples a process takes in one forward pass; 0 = its whole share of the batch.
        clip: largest norm of the gradient.
        bad_steps: how many steps in a row may have a gradient that is not finite.
        report_every: steps between rows of the history.
        evaluate_every, checkpoint_every: steps; 0 = never (evaluation still happens at the end).
    """

    schedule: Schedule
    precision: str = "fp32"
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)
    clip: float = 1.0
    micro_batch: int = 0
    bad_steps: int = 10
    report_every: int = 10
    evaluate_every: int = 0
    checkpoint_every: int = 0
    label: str = "training"
    quiet: bool = False


@dataclass(frozen=True)
class HeldOut:
    """Samples that are measured, never trained on, and the fixed draws of them."""

    samples: Any
    draws: tuple[Draw, ...]


class Run:
    """One training run of `model` on `samples`, in the order of `order`.

    Args:
        samples: what `model.prepare` reads.
        report: receives each row of the history as it is made, on the leading process.
    """

    def __init__(
        self, model: WeightedSum, samples: Any, order: Order, plan: Plan, world: World, *,
        held_out: HeldOut | None = None, checkpoints: Checkpoints | None = None,
        report: Callable[[Row], None] = lambda row: None,
    ) -> None:  # fmt: skip
        self.model, self.order, self.plan, self.world = model.to(world.device), order, plan, world
        self.samples, self.held_out, self.checkpoints, self.report = samples, held_out, checkpoints, report
        self.optimizer = adamw(model, weight_decay=plan.weight_decay, betas=plan.betas)
        self.history: list[Row] = []
        self.meter = Meter()
        self.step = 0
        self._recent: list[tuple[Tensor, Tensor]] = []  # (sums and weights, gradient norm) since the last row
        self._bad = 0

    def train(self) -> list[Row]:
        """Runs or resumes to the last step; returns the whole history.

        Raises:
            Interrupted: after SIGTERM, with the state saved; run again to go on.
            DataError: if the gradient is not finite for `bad_steps` steps in a row.
        """
        self._resume()
        plan, steps = self.plan, self.plan.schedule.steps
        module = self._wrapped()
        progress = Progress(steps, self.step, label=plan.label)
        with _terminated() as stop, closing(prefetch(self._micro_batches, self.step, steps)) as batches:
            while self.step < steps:
                with self.meter.wait("data"):
                    micro_batches = next(batches)
                stopping = self._take(module, micro_batches, bool(stop))
                self.step += 1
                reach("training.step")
                if self.step % plan.report_every == 0 or self.step == steps:
                    self._row()
                if plan.evaluate_every and self.step % plan.evaluate_every == 0 and self.step < steps:
                    self._evaluate()
                if stopping or (plan.checkpoint_every and self.step % plan.checkpoint_every == 0):
                    self._save()
                if stopping and self.step < steps:
                    where = f"step {self.step}"
                    raise Interrupted("training was told to stop", where=where, fix="run again to resume")
                losses = [
                    row["loss"] for row in self.history[-2:] if "loss" in row
                ]  # a row may be a validation
                if self.world.leads and not plan.quiet and losses and progress.due():
                    progress.show(self.step, losses[-1], self.meter.real * self.world.size)
        self._evaluate()
        return self.history

    def _micro_batches(self, step: int) -> list[list[Any]]:
        draw = self.order.draw(step, self.world.rank, self.world.size)
        size = self.plan.micro_batch or len(draw)
        return [
            self.model.prepare(self.samples, draw.part(at, at + size)) for at in range(0, len(draw), size)
        ]

    def _take(self, module: nn.Module, micro_batches: list[list[Any]], stop: bool) -> bool:
        """One optimizer step; returns whether any process was told to stop."""
        device = self.world.device
        torch.manual_seed(int(hashed(self.order.seed, "dropout", self.step, self.world.rank)[0] >> 1))
        counted = torch.stack([units(batches) for batches in micro_batches]).sum(dim=0)
        shared = self.world.sum(torch.cat([counted, torch.tensor([float(stop)])]).to(device))
        weights, stopping = shared[:-1], bool(shared[-1] > 0)
        scales = torch.tensor(self.model.scales(), device=device) * self.world.size / weights.clamp(min=1)
        sums: list[Tensor] = []
        for number, batches in enumerate(micro_batches):
            last = number == len(micro_batches) - 1
            parallel = module if isinstance(module, DistributedDataParallel) else None
            with nullcontext() if last or parallel is None else parallel.no_sync():
                with autocast(self.plan.precision, device):
                    losses: list[Loss] = module([batch.to(device) for batch in batches])
                total = sum(scale * loss.total for scale, loss in zip(scales, losses, strict=True))
                total.backward()
            sums.append(_table(losses))
            self.meter.count(*_counts(batches))
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.schedule.rate(self.step)
        norm = update(self.optimizer, self.model.parameters(), self.plan.clip)
        self.optimizer.zero_grad(set_to_none=True)
        self.model.after_step(self.step)
        self._recent.append((torch.stack(sums).sum(dim=0), norm))
        return stopping

    def _row(self) -> None:
        """Adds the mean over the steps since the last row to the history."""
        table = self.world.sum(torch.stack([sums for sums, _ in self._recent]).sum(dim=0))
        norms = torch.stack([norm for _, norm in self._recent]).tolist()
        for norm in norms:
            self._bad = 0 if norm < float("inf") else self._bad + 1
        if self._bad >= self.plan.bad_steps:
            raise DataError(
                f"the gradient was not finite for {self._bad} steps in a row", where=f"step {self.step}",
                found=norms[-1], fix="lower the learning rate, or look for NaN or huge values in the data",
            )  # fmt: skip
        finite = [norm for norm in norms if norm < float("inf")]
        row = {"step": float(self.step), **self._named(table)}
        row |= {"learning_rate": self.plan.schedule.rate(self.step - 1), "skipped": len(norms) - len(finite)}
        row["gradient_norm"] = sum(finite) / len(finite) if finite else float("nan")
        self._recent.clear()
        self._add(row)

    def _evaluate(self) -> None:
        if self.held_out is None:
            return
        with self.meter.wait("evaluation"):
            table = measure(self.model, self.held_out, self.plan.precision, self.world)
        named = {f"validation/{name}": value for name, value in self._named(table).items()}
        self._add({"step": float(self.step), **named})

    def _add(self, row: Row) -> None:
        self.history.append(row)
        if self.world.leads:
            self.report(row)

    def _named(self, table: Tensor) -> Row:
        """Names for a table of sums: the total loss, each term and its parts."""
        names, values = list(self.model.terms), table.tolist()
        row: Row = {}
        total = 0.0
        for name, scale, sums in zip(names, self.model.scales(), values, strict=True):
            weight = sums[1] or float("nan")
            row[name] = sums[0] / weight
            total += scale * row[name]
            parts = getattr(self.model.terms[name], "PARTS", ())
            row |= {f"{name}/{part}": value / weight for part, value in zip(parts, sums[2:], strict=False)}
        return {"loss": total, **row}

    def _resume(self) -> None:
        found = self.checkpoints.load() if self.checkpoints else None
        if found is None:
            return
        tensors, state = found
        restore(self.model, self.optimizer, tensors)
        self.step, self.history, self._bad = state["step"], state["history"], state["bad"]
        share = 1.0 if self.world.leads else 0.0  # the sums of a row are added over the processes again
        for sums, norm in zip(state["pending"]["sums"], state["pending"]["norms"], strict=True):
            table = torch.tensor(sums, dtype=torch.float64, device=self.world.device) * share
            self._recent.append((table, torch.tensor(norm, device=self.world.device)))
        if self.world.leads:
            print(f"resumed after step {self.step}", flush=True)

    def _save(self) -> None:
        if self.checkpoints is None:
            return
        with self.meter.wait("checkpoint"):
            sums = [self.world.sum(sums).tolist() for sums, _ in self._recent]
            pending = {"sums": sums, "norms": [norm.item() for _, norm in self._recent]}
            state = {"history": self.history, "pending": pending, "bad": self._bad}
            if self.world.leads:
                self.checkpoints.save(self.step, capture(self.model, self.optimizer), state)
            self.world.barrier()

    def _wrapped(self) -> nn.Module:
        return DistributedDataParallel(self.model) if self.world.size > 1 else self.model


@torch.no_grad()
def measure(model: WeightedSum, held_out: HeldOut, precision: str, world: World) -> Tensor:
    """(terms, 2 + parts) sums, weights and parts over held-out draws, dealt to the processes in turn."""
    was, tables = model.training, []
    model.eval()
    for draw in held_out.draws[world.rank :: world.size]:
        with autocast(precision, world.device):
            losses = model([batch.to(world.device) for batch in model.prepare(held_out.samples, draw)])
        tables.append(_table(losses))
    model.train(was)
    shape = (len(model.terms), 2 + max(len(getattr(term, "PARTS", ())) for term in model.terms.values()))
    total = torch.stack(tables).sum(dim=0) if tables else torch.zeros(shape, dtype=torch.float64)
    return world.sum(total.to(world.device))


def _table(losses: list[Loss]) -> Tensor:
    """(terms, 2 + parts) float64: sum, weight, then the parts, padded with zeros."""
    width = 2 + max(len(loss.parts) for loss in losses)
    rows = []
    for loss in losses:
        values = [loss.total.detach(), torch.tensor(loss.weight), *loss.parts.values()]
        row = torch.stack([value.detach().to(loss.total.device, torch.float64) for value in values])
        rows.append(nn.functional.pad(row, (0, width - len(values))))
    return torch.stack(rows)


def _counts(batches: list[Any]) -> tuple[int, int, int, float]:
    first = batches[0]
    real, slots = (sum(getattr(batch, name, 0) for batch in batches) for name in ("real", "slots"))
    return len(first), real, slots, float(sum(getattr(batch, "flops", 0.0) for batch in batches))


@contextmanager
def _terminated() -> Iterator[list[int]]:
    """A list that is not empty after SIGTERM; outside the main thread, signals cannot be caught."""
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(number)

    try:
        before = signal.signal(signal.SIGTERM, note)
    except ValueError:
        yield seen
        return
    try:
        yield seen
    finally:
        signal.signal(signal.SIGTERM, before)
