"""The loop: one global batch a step, the same samples and the same gradient for any number of processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from components.lib.engine.checkpoint import Checkpoints
from components.lib.engine.distributed import World
from components.lib.engine.loader import prefetch
from components.lib.engine.losses import Row, measure
from components.lib.engine.meter import Meter, Progress
from components.lib.engine.order import Order
from components.lib.engine.pieces import capture, needed, restore
from components.lib.engine.plan import HeldOut, Plan, passes
from components.lib.engine.randomness import hashed
from components.lib.engine.step import Step
from components.lib.engine.trainable import WeightedSum
from components.lib.errors import DataError, Interrupted
from components.lib.failpoints import reach
from components.lib.heartbeat import beat


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
        self.engine = Step(self.model, plan, world)
        self.micro_batch, self.passes = passes(order.batch, world.size, plan.micro_batch)
        self.history: list[Row] = []
        self.meter = Meter()
        self.step = 0
        self._recent: list[tuple[Tensor, Tensor]] = []  # (table, gradient norms) since the last row
        self._bad = 0

    def train(self) -> list[Row]:
        """Runs or resumes to the last step; returns the whole history.

        Raises:
            Interrupted: after SIGTERM, with the state saved; run again to go on.
            DataError: if the gradient is not finite for `bad_steps` steps in a row.
        """
        self._resume()
        plan, steps = self.plan, self.plan.schedule.steps
        progress = Progress(steps, self.step, label=plan.label)
        with _terminated() as stop, closing(prefetch(self._micro_batches, self.step, steps)) as batches:
            while self.step < steps:
                with self.meter.wait("data"):
                    micro_batches = next(batches)
                stopping = self._take(micro_batches, bool(stop))
                self.step += 1
                beat(self.step)
                reach("training.step")
                if self.step % plan.report_every == 0 or self.step == steps:
                    self._row()
                if plan.evaluate_every and self.step % plan.evaluate_every == 0 and self.step < steps:
                    self._evaluate()
                if stopping or (plan.checkpoint_every and self.step % plan.checkpoint_every == 0):
                    self._save()
                if stopping and self.step < steps:
                    if self.checkpoints:
                        self.checkpoints.wait()
                    where = f"step {self.step}"
                    raise Interrupted("training was told to stop", where=where, fix="run again to resume")
                losses = [row["loss"] for row in self.history[-2:] if "loss" in row]  # not of a validation
                if self.world.leads and not plan.quiet and losses and progress.due():
                    progress.show(self.step, losses[-1], self.meter.real * self.world.size)
        self._evaluate()
        if self.checkpoints:
            self.checkpoints.wait(needed=False)
        return self.history

    def _micro_batches(self, step: int) -> list[list[Any]]:
        draw = self.order.draw(step, self.world.rank, self.world.size)
        return [
            self.model.prepare(self.samples, draw.part(at, at + self.micro_batch))
            for at in range(0, len(draw), self.micro_batch)
        ]

    def _take(self, micro_batches: list[list[Any]], stop: bool) -> bool:
        """One step; returns whether any process was told to stop."""
        torch.manual_seed(int(hashed(self.order.seed, "dropout", self.step, self.world.rank)[0] >> 1))
        table, norms, stopping = self.engine.take(self.step, micro_batches, stop)
        self._recent.append((table, norms))
        for batches in micro_batches:
            self.meter.count(*_counts(batches))
        return stopping

    def _row(self) -> None:
        """Adds the mean over the steps since the last row to the history."""
        size = torch.stack([norm for _, norm in self._recent]).norm(dim=1)
        tables = torch.stack([table for table, _ in self._recent])
        tables = torch.where(size.isfinite()[:, None, None], tables, 0)  # a skipped step taught nothing
        table, norms = self.world.sum(tables).sum(dim=0), size.tolist()
        for norm in norms:
            self._bad = 0 if norm < float("inf") else self._bad + 1
        if self._bad >= self.plan.bad_steps:
            raise DataError(
                f"the gradient was not finite for {self._bad} steps in a row", where=f"step {self.step}",
                found=norms[-1], fix="lower the learning rate, or look for NaN or huge values in the data",
            )  # fmt: skip
        finite = [norm for norm in norms if norm < float("inf")]
        row = {"step": float(self.step), **self.engine.table.named(table)}
        row |= {"learning_rate": self.plan.schedule.rate(self.step - 1), "skipped": len(norms) - len(finite)}
        row["gradient_norm"] = sum(finite) / len(finite) if finite else float("nan")
        self._recent.clear()
        self._add(row)

    def _evaluate(self) -> None:
        if self.held_out is None:
            return
        with self.meter.wait("evaluation"):
            table = measure(self.model, self.held_out, self.plan.precision, self.world)
        named = {f"validation/{name}": value for name, value in self.engine.table.named(table).items()}
        self._add({"step": float(self.step), **named})

    def _add(self, row: Row) -> None:
        self.history.append(row)
        if self.world.leads:
            self.report(row)

    def _resume(self) -> None:
        found = self.checkpoints.load(needed(self.model, self.world)) if self.checkpoints else None
        if found is None:
            return
        tensors, state = found
        restore(self.model, self.engine.optimizers.values(), tensors)
        self.step, self.history, self._bad = state["step"], state["history"], state["bad"]
        share = 1.0 if self.world.leads else 0.0  # the sums of a row are added over the processes again
        for sums, norm in zip(state["pending"]["tables"], state["pending"]["norms"], strict=True):
            table = torch.tensor(sums, dtype=torch.float64, device=self.world.device) * share
            self._recent.append((table, torch.tensor(norm, device=self.world.device)))
        if self.world.leads:
            print(f"resumed after step {self.step}", flush=True)

    def _save(self) -> None:
        if self.checkpoints is None:
            return
        with self.meter.wait("checkpoint"):
            tables, norms = [], []
            if self._recent:
                tables = self.world.sum(torch.stack([table for table, _ in self._recent])).tolist()
                norms = torch.stack([norm for _, norm in self._recent]).tolist()
            pending = {"tables": tables, "norms": norms}
            state = {"history": self.history, "pending": pending, "bad": self._bad}
            last = self.history[-1] if self.history else {}
            score = last.get("validation/loss") if last.get("step") == self.step else None
            tensors = capture(self.model, self.engine.optimizers.values())
            self.checkpoints.save(self.step, tensors, state, score)


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
