"""What waits is worked on together; no question waits for a timer, too long, or for nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from gpu_coldstart.service.batching import Batcher, ClosedError, DeadlineError, OverloadError

pytestmark = pytest.mark.anyio


class Work:
    """Doubles numbers, when it may; a negative one is a mistake, and zero breaks the batch."""

    def __init__(self) -> None:
        self.may, self.began = threading.Event(), threading.Event()
        self.may.set()
        self.batches: list[list[int]] = []

    def __call__(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.began.set()
        assert self.may.wait(30)
        self.batches.append(list(numbers))
        if 0 in numbers:
            raise RuntimeError("no batch with a zero")
        return [2 * number if number > 0 else ValueError(number) for number in numbers]


def made(
    work: Work, *, queue: int = 8, batch: int = 4, deadline_s: float = 20
) -> Batcher[int, int]:
    batcher = Batcher[int, int](work, queue=queue, batch=batch, deadline_s=deadline_s)
    batcher.start()
    return batcher


async def busy(batcher: Batcher[int, int], work: Work) -> asyncio.Task[Sequence[int | Exception]]:
    """A question that the only thread is at, until it may go on."""
    work.may.clear()
    work.began.clear()
    task = asyncio.create_task(batcher.ask([1]))
    await asyncio.to_thread(work.began.wait, 30)
    return task


async def waiting(batcher: Batcher[int, int], *numbers: int) -> list[asyncio.Task[object]]:
    """Questions that wait."""
    before = batcher.depth
    tasks: list[asyncio.Task[object]] = [
        asyncio.create_task(batcher.ask([number])) for number in numbers
    ]
    while batcher.depth < before + len(numbers):
        await asyncio.sleep(0)
    return tasks


async def test_what_waits_is_a_batch_and_what_comes_alone_is_alone() -> None:
    work = Work()
    batcher = made(work)
    first = await busy(batcher, work)
    others = await waiting(batcher, 2, 3, 4, 5, 6, 7)
    assert batcher.depth == 6
    work.may.set()
    assert await first == [2]
    assert await asyncio.gather(*others) == [[4], [6], [8], [10], [12], [14]]
    assert work.batches == [[1], [2, 3, 4, 5], [6, 7]]
    assert batcher.depth == 0
    await batcher.close()


async def test_a_lone_question_waits_for_nobody() -> None:
    batcher = made(Work())
    await batcher.ask([1])  # starts the thread
    seconds = []
    for _ in range(50):
        begun = time.perf_counter()
        await batcher.ask([1])
        seconds.append(time.perf_counter() - begun)
    assert sorted(seconds)[25] < 0.004
    await batcher.close()


async def test_too_many_are_refused_at_once_and_the_others_answered() -> None:
    work = Work()
    batcher = made(work, queue=3)
    first = await busy(batcher, work)
    others = await waiting(batcher, 2, 3)
    with pytest.raises(OverloadError):
        await batcher.ask([4, 5])
    others += await waiting(batcher, 6)
    with pytest.raises(OverloadError):
        await batcher.ask([7])
    work.may.set()
    assert await first == [2]
    assert await asyncio.gather(*others) == [[4], [6], [12]]
    assert await batcher.ask([8, 9, 10]) == [16, 18, 20]  # there is room again
    await batcher.close()


async def test_what_would_be_late_is_refused_at_once_and_what_is_taken_is_in_time() -> None:
    def slow(numbers: Sequence[int]) -> list[int | Exception]:
        time.sleep(0.01 * len(numbers))
        return list(numbers)

    batcher = Batcher[int, int](slow, queue=10_000, batch=4, deadline_s=1)
    batcher.start()
    for _ in range(5):
        await batcher.ask([1, 2, 3, 4])
    answers = await asyncio.gather(
        *(batcher.ask([number]) for number in range(400)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, OverloadError)]
    answered = [answer for answer in answers if isinstance(answer, list)]
    assert len(refused) + len(answered) >= 0.98 * 400
    assert 20 < len(answered) < 100
    assert await batcher.ask([7]) == [7]
    await batcher.close()


async def test_what_is_late_is_not_worked_on() -> None:
    work = Work()
    batcher = made(work, deadline_s=0.05)
    first = await busy(batcher, work)
    (late,) = await waiting(batcher, 2)
    for task in (first, late):
        with pytest.raises(DeadlineError):
            await task
    work.may.set()
    await batcher.close()
    assert work.batches == [[1]]
    assert batcher.depth == 0


async def test_a_mistake_concerns_only_whose_it_is() -> None:
    work = Work()
    batcher = made(work)
    first = await busy(batcher, work)
    others = await waiting(batcher, 2, -3, 4)
    work.may.set()
    await first
    good, bad, better = [await task for task in others]
    assert (good, better) == ([4], [8])
    assert isinstance(bad, list)
    assert isinstance(bad[0], ValueError)
    await batcher.close()


async def test_work_that_breaks_tells_all_and_goes_on() -> None:
    work = Work()
    batcher = made(work)
    first = await busy(batcher, work)
    others = await waiting(batcher, 0, 2)
    work.may.set()
    await first
    for task in others:
        with pytest.raises(RuntimeError, match="zero"):
            await task
    assert await batcher.ask([3]) == [6]
    await batcher.close()


async def test_the_end_waits_for_all_answers_and_takes_no_more() -> None:
    work = Work()
    batcher = made(work)
    first = await busy(batcher, work)
    others = await waiting(batcher, 2, 3, 4, 5, 6)
    end = asyncio.create_task(batcher.close())
    await asyncio.sleep(0.01)
    assert not end.done()
    with pytest.raises(ClosedError):
        await batcher.ask([7])
    work.may.set()
    await end
    assert await first == [2]
    assert await asyncio.gather(*others) == [[4], [6], [8], [10], [12]]


async def test_sizes_are_measured() -> None:
    sizes: list[int] = []
    batcher = Batcher[int, int](
        Work(), queue=8, batch=4, deadline_s=20, threads=2, measure=sizes.append
    )
    batcher.start()
    await batcher.ask([1, 2, 3])
    await batcher.ask([1])
    assert sizes == [3, 1]
    await batcher.close()
