"""Dynamic batching: while a model computes, requests wait; what can be joined of them is computed next.

Nothing waits for a batch to fill: under little load a request is computed alone and at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from components.lib.core.errors import WorkerLost
from components.lib.registry.model_server.limits import Limits
from components.lib.registry.model_server.protocol import Question, Refused
from components.lib.registry.model_server.worker import Undivided, Worker

PAUSE, LONGEST = 0.5, 30.0  # seconds before a process that died is started anew, and between later ones


@dataclass(eq=False)
class Served:
    """A version that takes traffic: its name and number, and the process that holds it."""

    name: str
    version: str
    reference: str
    evaluated: bool
    worker: Worker


@dataclass(eq=False)
class _Waiting:
    question: Question
    until: float
    answer: asyncio.Future[tuple[bytes, Served]]
    alone: bool = False
    lost: int = field(default=0)


class Batcher:
    """Questions in, answers out; `serve` changes the version between two batches, so that none is lost.

    Args:
        told: gets the records of each batch.
    """

    def __init__(self, limits: Limits, told: Callable[[int], None] = lambda records: None) -> None:
        self.limits, self.told = limits, told
        self.served: Served | None = None
        self._waiting: deque[_Waiting] = deque()
        self._comes = asyncio.Event()
        self._computing = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    async def ask(self, question: Question, until: float) -> tuple[bytes, Served]:
        """The answer, and who gave it.

        Args:
            until: monotonic time after which nobody waits for it any more.

        Raises:
            Refused: 503 if too many wait or there is no model, 504 when the time is over, 400, 500.
        """
        if self.served is None:
            raise Refused(503, "no version of the model is served yet")
        if self.waiting >= self.limits.queue:
            raise Refused(503, f"{self.waiting} requests wait already: come again later")
        mine = _Waiting(question, until, asyncio.get_running_loop().create_future())
        self._waiting.append(mine)
        self._comes.set()
        try:
            return await asyncio.wait_for(mine.answer, until - time.monotonic())
        except TimeoutError:
            raise Refused(504, f"no answer within {self.limits.seconds:.0f} s") from None

    async def serve(self, version: Served) -> Served | None:
        """Gives the traffic to `version`; returns the one before, once it has answered its last batch."""
        before, self.served = self.served, version
        self._comes.set()
        async with self._computing:
            return before

    async def run(self) -> None:
        """Computes, for ever."""
        while True:
            await self._comes.wait()
            async with self._computing:
                batch, served = self._taken(), self.served
                if not batch or served is None:
                    self._comes.clear()
                    continue
                await self._computed(batch, served)

    def _taken(self) -> list[_Waiting]:
        """The first that waits, and those behind it that can be joined with it, in order."""
        alive = [one for one in self._waiting if not one.answer.done()]
        self._waiting.clear()
        batch: list[_Waiting] = []
        records = 0
        for one in alive:
            fits = not batch or (
                one.question.key == batch[0].question.key
                and records + one.question.records <= self.limits.batch
                and not (one.alone or batch[0].alone)
            )
            if fits:
                batch.append(one)
                records += one.question.records
            else:
                self._waiting.append(one)
        return batch

    async def _computed(self, batch: list[_Waiting], served: Served) -> None:
        questions = [one.question for one in batch]
        self.told(sum(question.records for question in questions))
        try:
            answers = await asyncio.to_thread(served.worker.ask, questions)
        except (Refused, Undivided) as error:
            if len(batch) > 1:
                self._again(batch)
            else:
                told = error if isinstance(error, Refused) else Refused(500, "the model did not answer")
                _fail(batch[0], told)
        except WorkerLost as error:
            print(f"serving: {served.name} version {served.version}: {error}", flush=True)
            if len(batch) == 1 and batch[0].lost:
                _fail(batch[0], Refused(500, "the process of the model died of this request, twice"))
                batch = []
            self._again(batch, lost=1)
            await self._revived(served)
        else:
            for one, answer in zip(batch, answers, strict=True):
                if not one.answer.done():
                    one.answer.set_result((answer, served))

    def _again(self, batch: list[_Waiting], lost: int = 0) -> None:
        """Puts them first, to be computed one by one: it may be the fault of one of them."""
        for one in reversed(batch):
            one.alone, one.lost = True, one.lost + lost
            self._waiting.appendleft(one)

    async def _revived(self, served: Served) -> None:
        """Starts the process of a version anew until it is there or replaced; requests wait meanwhile."""
        pause = PAUSE
        while self.served is served:
            await asyncio.to_thread(served.worker.end)
            served.worker = Worker(served.worker.folder, self.limits)
            try:
                return await asyncio.to_thread(served.worker.load)
            except Exception as error:
                print(
                    f"serving: {served.name} version {served.version}: {error}; again in {pause:.0f} s",
                    flush=True,
                )
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST)


def _fail(one: _Waiting, error: Refused) -> None:
    if not one.answer.done():
        one.answer.set_exception(error)
