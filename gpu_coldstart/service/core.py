"""A service without its routes: questions in, answers out, bundles exchanged."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from gpu_coldstart.errors import UserError
from gpu_coldstart.service.batching import Batcher, ClosedError, DeadlineError, OverloadError
from gpu_coldstart.service.bundles import Answered, Bundles, answer_each
from gpu_coldstart.service.limits import RefusedError
from gpu_coldstart.service.metrics import Metrics
from gpu_coldstart.service.settings import Settings
from gpu_coldstart.service.stores import Store, StoreError
from gpu_coldstart.serving.recommender import Question, Recommender

__all__ = ["Service"]

T = TypeVar("T")
Job = Callable[[], Any]

_log = logging.getLogger(__name__)

_OVERLOAD = "too many requests wait: try again"


class Service:
    """What the routes share.

    Attributes
    ----------
    settings : Settings
    bundles : Bundles
    store : Store
    metrics : Metrics
    draining : bool
        Whether the service will end soon, and should get no more requests.
    """

    def __init__(self, settings: Settings, bundles: Bundles, store: Store):
        self.settings, self.bundles, self.store = settings, bundles, store
        self.draining = False
        self.metrics = Metrics(lambda: self._questions.depth)
        self._questions: Batcher[Question, Answered] = Batcher(
            lambda questions: answer_each(bundles.current, questions),
            queue=settings.queue,
            batch=settings.batch,
            deadline_s=settings.deadline_s,
            threads=settings.threads,
            measure=self.metrics.batches.observe,
        )
        # What is rarely asked, and cannot be answered many at once, has a thread of its own.
        self._jobs: Batcher[Job, Any] = Batcher(
            _run_each, queue=settings.queue, batch=1, deadline_s=settings.deadline_s
        )
        self.metrics.serving(bundles.current.version)

    def open(self) -> None:
        """Begin to answer, also after an end; needs a running event loop."""
        self.draining = False
        self._questions.start()
        self._jobs.start()

    async def close(self) -> None:
        """Answer what was asked, and end."""
        self.draining = True
        await self._questions.close()
        await self._jobs.close()
        await self.store.close()

    def admit(self) -> None:
        """Refuse while no question can be taken: before a request is read, which costs as much.

        Raises
        ------
        RefusedError
            With 503.
        """
        if self._questions.full:
            raise self._refused("overload", 503, _OVERLOAD)

    async def recommend(self, questions: Sequence[Question], field: str = "") -> list[Answered]:
        """Answers to some questions, a batch after another.

        Parameters
        ----------
        field : str
            What a question is called in a sentence about it, with ``{}`` for its number.

        Raises
        ------
        RefusedError
            For a question that cannot be answered, or for want of time or room.
        """
        self._check(questions, field)
        answers: list[Answered] = []
        size = self.settings.batch
        for start in range(0, len(questions), size):
            some = await self._ask(self._questions, questions[start : start + size])
            for number, answer in enumerate(some, start):
                if isinstance(answer, UserError):
                    raise RefusedError(422, str(answer), field=field.format(number) or None)
                if isinstance(answer, Exception):
                    raise answer
                answers.append(answer)
        return answers

    async def call(self, job: Callable[[Recommender], T]) -> tuple[T, str]:
        """What a function makes of the model in service, and that model's version.

        Raises
        ------
        RefusedError
            For want of time or room, or of the function's mistakes those that are the user's.
        """
        recommender = self.bundles.current
        (result,) = await self._ask(self._jobs, [lambda: job(recommender)])
        if isinstance(result, UserError):
            raise RefusedError(422, str(result))
        if isinstance(result, Exception):
            raise result
        return result, recommender.version

    async def ready(self) -> None:
        """Refuse while the service should get no requests.

        Raises
        ------
        RefusedError
            With 503, when it is about to end, or its store cannot be reached.
        """
        if self.draining:
            raise RefusedError(503, "the service is about to end", retry_s=1)
        try:
            await self.store.check()
        except StoreError as error:
            raise RefusedError(503, str(error), retry_s=1) from error

    async def reload(self) -> bool:
        """Read the bundle's directory again; returns whether another bundle is in service now.

        Raises
        ------
        UserError
            For a bundle that is not to be used; the one in service stays.
        """
        try:
            changed = await asyncio.to_thread(self.bundles.reload)
        except UserError as error:
            self.metrics.reloads.labels("refused").inc()
            _log.error("bundle %s stays: %s", self.bundles.current.version, error)
            raise
        self.metrics.reloads.labels("swapped" if changed else "unchanged").inc()
        self._tell()
        return changed

    def rollback(self) -> None:
        """Go back to the bundle before this one.

        Raises
        ------
        UserError
            When there was none.
        """
        self.bundles.rollback()
        self.metrics.reloads.labels("rolled_back").inc()
        self._tell()

    def _tell(self) -> None:
        self.metrics.serving(self.bundles.current.version)
        _log.info("bundle %s is in service", self.bundles.current.version)

    def _check(self, questions: Sequence[Question], field: str) -> None:
        recommender = self.bundles.current
        for number, question in enumerate(questions):
            try:
                recommender.check(question)
            except UserError as error:
                known = question.strategy is None or question.strategy in recommender.strategies
                name = ".".join(filter(None, (field.format(number), "k" if known else "strategy")))
                raise RefusedError(422, str(error), field=name) from error

    async def _ask(self, batcher: Batcher[Any, Any], questions: Sequence[Any]) -> Sequence[Any]:
        try:
            return await batcher.ask(questions)
        except OverloadError as error:
            raise self._refused("overload", 503, _OVERLOAD) from error
        except ClosedError as error:
            raise self._refused("closing", 503, "the service is about to end") from error
        except DeadlineError as error:
            late = f"no answer within {self.settings.deadline_s:g} seconds"
            raise self._refused("deadline", 504, late) from error

    def _refused(self, reason: str, status: int, sentence: str) -> RefusedError:
        self.metrics.refused.labels(reason).inc()
        return RefusedError(status, sentence, retry_s=1 if status == 503 else None)


def _run_each(jobs: Sequence[Job]) -> list[Any]:
    """What some jobs return, or raise."""
    results: list[Any] = []
    for job in jobs:
        try:
            results.append(job())
        except Exception as error:
            results.append(error)
    return results
