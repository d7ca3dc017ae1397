"""The training loop: one global batch a step, the same samples and gradient for any number of ranks."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import torch

from components.lib.core import signals
from components.lib.core.errors import DataError, Interrupted
from components.lib.core.failpoints import reach
from components.lib.core.heartbeat import beat
from components.lib.engine.checkpoint.checkpoints import Checkpoints
from components.lib.engine.checkpoint.layout import rows_needed
from components.lib.engine.distributed import World
from components.lib.engine.loader import prefetch
from components.lib.engine.losses import Row, measure
from components.lib.engine.meter import Meter
from components.lib.engine.order import Order, rank_batch
from components.lib.engine.plan import HeldOut, Plan, accumulation
from components.lib.engine.progress import Progress
from components.lib.engine.randomness import hashed
from components.lib.engine.step import MicroBatch, Step, StepBuffer
from components.lib.engine.trainable import WeightedSum
from components.lib.engine.transfer import pinned


class Run:
    """One training run of `model` on `samples`, in the order of `order`.

    Args:
        samples: what `model.prepare` reads. If it has an array `length`, by sample, every rank gets nearly
            the same sum of it.
        report: receives each row of the history, and the rates since the last, on rank 0.
        enough: early stopping: called after each validation with its step and loss, on every rank alike; True
            ends the training there.
    """

    def __init__(
        self,
        model: WeightedSum,
        samples: Any,
        order: Order,
        plan: Plan,
        world: World,
        *,
        held_out: HeldOut | None = None,
        checkpoints: Checkpoints | None = None,
        report: Callable[[Row], None] = lambda row: None,
        enough: Callable[[int, float], bool] = lambda step, loss: False,
        meter: Meter | None = None,
    ) -> None:
        self.model, self.order, self.plan, self.world = model.to(world.device), order, plan, world
        self.samples, self.held_out, self.checkpoints, self.report = samples, held_out, checkpoints, report
        self.engine = Step(self.model, plan, world)
        self.micro_batch, _ = accumulation(order.batch, world.size, plan.micro_batch)
        self.history: list[Row] = []
        self.meter = meter or Meter()
        self.step = 0
        self._enough, self._ended = enough, False
        self._buffer = StepBuffer(world)
        self._streak = self._rollbacks = 0  # consecutive skipped steps; rollbacks so far

    def train(self) -> list[Row]:
        """Runs or resumes to the last step; returns the whole history.

        Raises:
            Interrupted: when told to stop, with the state saved; run again to resume.
            DataError: if `bad_steps` steps in a row are skipped after `max_rollbacks` rollbacks.
        """
        self.meter.started()
        with self.meter.wait("restore"):
            self._resume()
        plan, steps = self.plan, self.plan.schedule.steps
        progress = Progress(steps, self.step, plan.label, plan.unit)
        with signals.noted() as stop, closing(prefetch(self._micro_batches, self.step, steps)) as batches:
            while self.step < steps and not self._ended:
                with self.meter.wait("data"):
                    micro_batches = next(batches)
                with self.meter.stepping():
                    stopping = self._take(micro_batches, bool(stop))
                self.step += 1
                self._after(stopping)
                losses = [row["loss"] for row in self.history[-2:] if "loss" in row]  # not of a validation
                if self.world.leads and not plan.quiet and losses:
                    progress.show(self.step, losses[-1], self.meter.counts["real"] * self.world.size)
        if not self._ended:
            self._evaluate()
        self._await_checkpoint(needed=False)
        return self.history

    def _after(self, stopping: bool) -> None:
        """What is due after a step: heartbeat, log row, validation, checkpoint, the end."""
        plan, last = self.plan, self.step == self.plan.schedule.steps
        beat(self.step)
        reach("training.step")
        if self.step % plan.report_every == 0 or last:
            self._log()
        if plan.evaluate_every and self.step % plan.evaluate_every == 0 and not last:
            self._evaluate()
        if stopping or (plan.checkpoint_every and self.step % plan.checkpoint_every == 0):
            self._save(stopping)
        if stopping and not last:
            self._await_checkpoint(needed=True)
            where = f"step {self.step}"
            raise Interrupted("training was told to stop", where=where, fix="run again to resume")

    def _await_checkpoint(self, needed: bool) -> None:
        """Joins the background save."""
        if self.checkpoints:
            with self.meter.wait("checkpoint"):
                self.checkpoints.wait(needed)

    def _micro_batches(self, step: int) -> list[MicroBatch]:
        lengths = getattr(self.samples, "length", None)
        draw = rank_batch(self.order.draw(step), lengths, self.world.rank, self.world.size)
        parts = [draw.part(at, at + self.micro_batch) for at in range(0, len(draw), self.micro_batch)]
        made = [MicroBatch(self.model.prepare(self.samples, part), self.engine.keys(part)) for part in parts]
        return [pinned(micro_batch, self.world.device) for micro_batch in made]

    def _take(self, micro_batches: list[MicroBatch], stop: bool) -> bool:
        """One step; returns whether any rank was told to stop."""
        torch.manual_seed(int(hashed(self.order.seed, "torch", self.step, self.world.rank)[0] >> 1))
        result, stopping = self.engine.take(self.step, micro_batches, stop)
        self._buffer.append(result)
        for batches in (micro_batch.batches for micro_batch in micro_batches):
            sums = {n: float(sum(getattr(b, n, 0) for b in batches)) for n in ("real", "slots", "flops")}
            self.meter.count(samples=float(len(batches[0])), **sums)
        return stopping

    def _log(self) -> None:
        """Adds the mean over the steps since the last row to the history; rolls back if all were skipped."""
        with self.meter.wait("report"):
            tables, norms, bad = self._buffer.read()
            self._buffer.clear()
            tables[torch.tensor(bad, device=tables.device)] = 0  # a skipped step taught nothing
            sizes = [math.hypot(*norm) for norm, skipped in zip(norms, bad, strict=True) if not skipped]
            row = {"step": float(self.step), **self.engine.table.named(tables.sum(dim=0))}
            row |= {"learning_rate": self.plan.schedule.rate(self.step - 1), "skipped": float(sum(bad))}
            row["gradient_norm"] = sum(sizes) / len(sizes) if sizes else float("nan")
            self._add(row, **self.meter.lap(self.world.size))
        for number, (norm, skipped) in enumerate(zip(norms, bad, strict=True), start=self.step - len(bad)):
            self._streak = self._streak + 1 if skipped else 0
            if skipped and self.world.leads:
                ids = self.order.draw(number).ids.tolist()
                print(f"step {number} was skipped: gradient norm {norm}, samples {ids}", file=sys.stderr)
        if self._streak >= self.plan.bad_steps:
            self._roll_back(norms[-1])

    def _roll_back(self, norm: list[float]) -> None:
        """Rollback: the weights of the last checkpoint, and on with the next samples."""
        found = None
        if self.checkpoints and self._rollbacks < self.plan.max_rollbacks:
            self.checkpoints.wait(needed=False)
            found = self.checkpoints.load(rows_needed(self.model, self.world))
        if found is None:
            what = (
                f"{self._streak} steps in a row were skipped: their gradient is not finite, or far too large"
            )
            fix = "lower the learning rate, or look for NaN or huge values in the data"
            raise DataError(what, where=f"step {self.step}", found=norm, fix=fix)
        self.engine.restore(found[0])
        self._streak, self._rollbacks = 0, self._rollbacks + 1
        self._add({"step": float(self.step), "rolled_back_to": float(found[1]["step"])})

    def _evaluate(self) -> None:
        if self.held_out is None:
            return
        with self.meter.wait("evaluation"):
            table = measure(self.model, self.held_out, self.plan.precision, self.world)
        named = {f"validation/{name}": value for name, value in self.engine.table.named(table).items()}
        self._add({"step": float(self.step), **named})
        self._ended = self._enough(self.step, named["validation/loss"])

    def _add(self, row: Row, **measured: float) -> None:
        self.history.append(row)
        if self.world.leads:
            self.report({**row, **measured})

    def _resume(self) -> None:
        found = self.checkpoints.load(rows_needed(self.model, self.world)) if self.checkpoints else None
        if found is None:
            return
        tensors, state = found
        self.engine.restore(tensors)
        self.step, self.history = state["step"], state["history"]
        self._streak, self._rollbacks = state["streak"], state["rollbacks"]
        self._buffer.restore(state["buffer"])
        self.meter.resume(state["meter"])
        if self.world.leads:
            print(f"resumed after step {self.step}", flush=True)

    def _save(self, stopping: bool) -> None:
        if self.checkpoints is None:
            return
        with self.meter.wait("checkpoint"):
            buffer = self._buffer.state()
            if not stopping and (buffer["bad"] or [self._streak])[-1]:
                return  # a rollback must find a state from before the bad steps
            counters = {"streak": self._streak, "rollbacks": self._rollbacks}
            state = {"history": self.history, "buffer": buffer, "meter": self.meter.state(), **counters}
            last = self.history[-1] if self.history else {}
            score = last.get("validation/loss") if last.get("step") == self.step else None
            self.checkpoints.save(self.step, self.engine.state(), state, score)
