"""Micro-batches: what waits is worked on together, and what comes alone does not wait.

Questions come one by one, and a model answers many at once for little more than one. A worker that
is free takes a question as soon as there is one; while it works, others gather, and are its next
batch. So batches grow with the load, and nothing waits for a timer.

Where more is asked than can be answered, a queue would fill until all in it are late. So a question
is refused at once when those before it would take longer than it may wait, as recent batches say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Batcher", "ClosedError", "DeadlineError", "OverloadError"]

Q = TypeVar("Q")
A = TypeVar("A")


_MEMORY = 0.9
"""What a batch counts for in the pace, of what the next one does."""


_SURE = 0.5
"""The part of its time that a question may be expected to take, since batches differ."""


class OverloadError(Exception):
    """As many questions wait as may, or as can be answered in time."""


class DeadlineError(Exception):
    """A question was not answered in time."""


class ClosedError(Exception):
    """The batcher takes no more questions."""


@dataclass(frozen=True)
class _Waiting(Generic[Q, A]):
    """Questions that came together, and the promise of their answers."""

    questions: Sequence[Q]
    answers: asyncio.Future[Sequence[A | Exception]]


class Batcher(Generic[Q, A]):
    """Answers questions in threads, many at once.

    Parameters
    ----------
    work : callable
        Answers some questions, in their order; an answer may be an exception, which concerns that
        question alone.
    queue : int
        Questions that may wait, at most.
    batch : int
        Questions that are worked on at once; more only if they came together.
    deadline_s : float
        Seconds from when a question is asked until it must be answered.
    threads : int
    measure : callable
        Told the size of every batch.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Q]], Sequence[A | Exception]],
        *,
        queue: int,
        batch: int,
        deadline_s: float,
        threads: int = 1,
        measure: Callable[[int], object] = lambda size: None,
    ):
        self._work, self._measure = work, measure
        self._limit, self._batch, self._deadline_s = queue, batch, deadline_s
        self._queue: asyncio.Queue[_Waiting[Q, A]] = asyncio.Queue()
        self._threads = threads
        self._executor: ThreadPoolExecutor | None = None
        self._workers: list[asyncio.Task[None]] = []
        self._depth = self._working = 0
        self._seconds = self._answered = 0.0  # of recent batches
        self._closed = True

    @property
    def depth(self) -> int:
        """How many questions wait for a thread."""
        return self._depth

    @property
    def full(self) -> bool:
        """Whether one more question would be refused."""
        return self._depth >= self._limit or self._late()

    def start(self) -> None:
        """Begin to answer, also after an end; needs a running event loop."""
        self._executor = ThreadPoolExecutor(self._threads, "batch")
        self._queue, self._closed = asyncio.Queue(), False
        self._workers = [asyncio.create_task(self._answer()) for _ in range(self._threads)]

    async def close(self) -> None:
        """Take no more questions, answer all that were taken, and end the threads."""
        self._closed = True
        await self._queue.join()
        for worker in self._workers:
            worker.cancel()
        for worker in self._workers:
            with suppress(asyncio.CancelledError):
                await worker
        if self._executor is not None:
            self._executor.shutdown()

    async def ask(self, questions: Sequence[Q]) -> Sequence[A | Exception]:
        """Answers to questions that are worked on together.

        Raises
        ------
        OverloadError
            At once, when too many questions wait, or so many that this one would be late.
        DeadlineError
            When the time is over.
        ClosedError
            Before :meth:`start` and after :meth:`close`.
        """
        if self._closed:
            raise ClosedError
        if self.full or self._depth + len(questions) > self._limit:
            raise OverloadError
        waiting: _Waiting[Q, A] = _Waiting(questions, asyncio.get_running_loop().create_future())
        self._depth += len(questions)
        self._queue.put_nowait(waiting)
        try:
            # Leaving early cancels the future, which tells the worker not to bother.
            async with asyncio.timeout(self._deadline_s):
                return await waiting.answers
        except TimeoutError as error:
            raise DeadlineError from error

    def _late(self) -> bool:
        """Whether a question asked now would be late: never while fewer than a batch wait."""
        if self._depth < self._batch:
            return False
        pace = self._seconds / max(self._answered, 1) / self._threads
        return (self._depth + self._working) * pace > _SURE * self._deadline_s

    async def _answer(self) -> None:
        """Answer batch after batch."""
        while True:
            taken = self._take(await self._queue.get())
            wanted = [each for each in taken if not each.answers.done()]
            try:
                questions = [question for each in wanted for question in each.questions]
                if questions:
                    self._measure(len(questions))
                    _deliver(wanted, await self._work_on(questions))
            except Exception as error:  # the work's own mistake: all that waited must hear of it
                for each in wanted:
                    if not each.answers.done():
                        each.answers.set_exception(error)
            finally:
                for _ in taken:
                    self._queue.task_done()

    async def _work_on(self, questions: Sequence[Q]) -> Sequence[A | Exception]:
        """Answers to a batch, from a thread."""
        begun = time.monotonic()
        self._working += len(questions)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._work, questions)
        finally:
            self._working -= len(questions)
            self._seconds = _MEMORY * self._seconds + time.monotonic() - begun
            self._answered = _MEMORY * self._answered + len(questions)

    def _take(self, first: _Waiting[Q, A]) -> list[_Waiting[Q, A]]:
        """What waits, up to a batch."""
        taken, size = [first], len(first.questions)
        while size < self._batch and not self._queue.empty():
            taken.append(self._queue.get_nowait())
            size += len(taken[-1].questions)
        self._depth -= size
        return taken


def _deliver(wanted: Sequence[_Waiting[Q, A]], answers: Sequence[A | Exception]) -> None:
    """Hand each group its part of the answers."""
    start = 0
    for each in wanted:
        end = start + len(each.questions)
        if not each.answers.done():
            each.answers.set_result(answers[start:end])
        start = end
