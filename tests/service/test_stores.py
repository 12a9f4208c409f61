"""What every store of users promises, and what is particular to one."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from gpu_coldstart.errors import UserError
from gpu_coldstart.service.redis_store import RedisStore
from gpu_coldstart.service.stores import (
    Known,
    MemoryStore,
    Store,
    StoreError,
    StoreFull,
    open_store,
)
from gpu_coldstart.serving.recommender import Event
from tests.service.redis_server import free_port, redis_server


@dataclass
class Kind:
    """A kind of store, and how to let its time pass."""

    make: Callable[[float, int], Store]
    pass_time: Callable[[float], Awaitable[None]]
    ttl_s: float

    def run(self, story: Callable[[Store], Awaitable[None]], most_events: int = 1000) -> None:
        """Tell a story to a new store, which all its parts share."""

        async def told() -> None:
            store = self.make(self.ttl_s, most_events)
            await story(store)
            await store.close()

        asyncio.run(told())


def memory() -> Kind:
    now = [0.0]

    async def pass_time(seconds: float) -> None:
        now[0] += seconds

    return Kind(lambda ttl, most: MemoryStore(ttl, 1000, most, lambda: now[0]), pass_time, 1.0)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a Redis server."""
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as url:
        yield url


@pytest.fixture(params=["memory", "redis"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of store in turn, empty."""
    if request.param == "memory":
        return memory()
    url: str = request.getfixturevalue("url")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return Kind(lambda ttl, most: RedisStore(url, ttl, most), asyncio.sleep, 1.0)


def streamed(*tracks: int | str) -> tuple[Event, ...]:
    return tuple(Event("stream", "track", track) for track in tracks)


def test_what_is_heard_adds_up_and_newer_answers_win(kind: Kind) -> None:
    async def story(store: Store) -> None:
        assert await store.get("zoe") is None
        first = Known("FR", None, streamed(1, 2))
        assert await store.add("zoe", first) == first
        second = Known(None, 31.5, (Event("ban", "artist", "Ñandú", 3.0),))
        both = Known("FR", 31.5, first.events + second.events)
        assert await store.add("zoe", second) == both
        assert await store.add("zoe", Known("", 0.0)) == Known("", 0.0, both.events)
        assert await store.get("zoe") == Known("", 0.0, both.events)

    kind.run(story)


def test_a_user_of_whom_nothing_is_told_is_known(kind: Kind) -> None:
    async def story(store: Store) -> None:
        assert await store.add("zoe", Known()) == Known()
        assert await store.get("zoe") == Known()

    kind.run(story)


def test_ids_of_entities_stay_what_they_are(kind: Kind) -> None:
    ids: list[int | str] = [7, "7", 2**63 - 1, -(2**63), "", "é\0\n", "\ud800", "x" * 1000]

    async def story(store: Store) -> None:
        await store.add("zoe", Known(events=streamed(*ids)))
        known = await store.get("zoe")
        assert known is not None
        assert [(type(event.id), event.id) for event in known.events] == [(type(i), i) for i in ids]

    kind.run(story)


def test_users_are_strangers_to_each_other(kind: Kind) -> None:
    users = ["7", "07", "7.0", " 7", "é", "e\u0301", "ünï/çødé 🎵", "", "a:b", "a", "*", "x" * 5000]
    users += ["\0", "?", "\ud800", "\udfff", "\n", "{7}", "events"]

    async def story(store: Store) -> None:
        for place, user in enumerate(users):
            await store.add(user, Known(events=streamed(place)))
        for place, user in enumerate(users):
            assert await store.get(user) == Known(events=streamed(place))

    kind.run(story)


def test_a_user_is_forgotten_some_time_after_the_last_add(kind: Kind) -> None:
    async def story(store: Store) -> None:
        await store.add("zoe", Known("FR", 31, streamed(1)))
        await kind.pass_time(0.6 * kind.ttl_s)
        await store.add("zoe", Known(events=streamed(2)))
        await kind.pass_time(0.6 * kind.ttl_s)
        assert await store.get("zoe") == Known("FR", 31, streamed(1, 2))  # which prolongs nothing
        await kind.pass_time(0.6 * kind.ttl_s)
        assert await store.get("zoe") is None
        assert await store.add("zoe", Known(None, 8)) == Known(None, 8)

    kind.run(story)


def test_a_user_has_no_more_events_than_the_cap(kind: Kind) -> None:
    async def story(store: Store) -> None:
        await store.add("zoe", Known("FR", 31, streamed(1, 2, 3)))
        with pytest.raises(StoreFull, match=r"^a user may have at most 5 events$"):
            await store.add("zoe", Known("DE", 8, streamed(4, 5, 6)))
        assert await store.get("zoe") == Known("FR", 31, streamed(1, 2, 3))
        assert await store.add("zoe", Known(events=streamed(4, 5)))
        assert (await store.add("zoe", Known("DE"))).country == "DE"  # no event more
        with pytest.raises(StoreFull):
            await store.add("zoe", Known(events=streamed(6)))
        with pytest.raises(StoreFull):
            await store.add("tom", Known(events=streamed(*range(6))))
        assert await store.get("tom") is None

    kind.run(story, most_events=5)


def test_adds_at_the_same_time_lose_nothing(kind: Kind) -> None:
    async def story(store: Store) -> None:
        adds = [store.add("zoe", Known(events=streamed(n, n + 1000))) for n in range(100)]
        seen = await asyncio.gather(*adds)
        known = await store.get("zoe")
        assert known is not None
        assert sorted(len(each.events) for each in seen) == list(range(2, 202, 2))
        assert sorted(int(event.id) for event in known.events) == [
            *range(100),
            *range(1000, 1100),
        ]
        # Each saw a beginning of what is known in the end, with its own events in it.
        for n, each in enumerate(seen):
            assert each.events == known.events[: len(each.events)]
            assert each.events[-2:] == streamed(n, n + 1000)

    kind.run(story)


def test_of_adds_at_the_same_time_no_more_succeed_than_fit(kind: Kind) -> None:
    async def story(store: Store) -> None:
        adds = [store.add("zoe", Known(events=streamed(n))) for n in range(100)]
        ends = await asyncio.gather(*adds, return_exceptions=True)
        assert sum(isinstance(end, Known) for end in ends) == 30
        assert sum(isinstance(end, StoreFull) for end in ends) == 70

    kind.run(story, most_events=30)


def test_a_store_that_is_there_passes_its_check(kind: Kind) -> None:
    async def story(store: Store) -> None:
        await store.check()

    kind.run(story)


def test_a_full_memory_forgets_who_was_not_heard_of_for_longest() -> None:
    async def story() -> None:
        store = MemoryStore(60, 2, 10)
        for user in ("a", "b", "a", "c"):
            await store.add(user, Known(user))
        assert [await store.get(user) is not None for user in "abc"] == [True, False, True]

    asyncio.run(story())


_PROCESS = """
import asyncio, sys
from gpu_coldstart.service.stores import Known, open_store
from gpu_coldstart.serving.recommender import Event

async def main(url, first):
    store = open_store(url, ttl_s=60, most_users=1, most_events=1000)
    events = [Event("stream", "track", first + n) for n in range(50)]
    await asyncio.gather(*(store.add("zoe", Known(events=(event,))) for event in events))
    await store.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def test_processes_that_share_a_redis_lose_nothing(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushall()
    commands = [[sys.executable, "-c", _PROCESS, url, str(first)] for first in (0, 50, 100)]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait(120) for process in processes] == [0, 0, 0]

    async def story() -> None:
        store = RedisStore(url, 60, 1000)
        known = await store.get("zoe")
        await store.close()
        assert known is not None
        assert sorted(int(event.id) for event in known.events) == list(range(150))

    asyncio.run(story())


def test_a_user_in_redis_is_one_key_that_expires(url: str) -> None:
    async def story() -> None:
        store = RedisStore(url, 100, 10)
        await store.add("zoe", Known("FR", 31, streamed(1)))
        await store.add("zoe", Known("FR", 31, streamed(2)))
        await store.close()

    with redis.Redis.from_url(url, decode_responses=True) as client:
        client.flushall()
        asyncio.run(story())
        assert client.keys() == ["gpu-coldstart:user:zoe"]
        remaining = client.pttl("gpu-coldstart:user:zoe")
        assert isinstance(remaining, int)
        assert 90_000 < remaining <= 100_000
        fields = client.hgetall("gpu-coldstart:user:zoe")
        assert isinstance(fields, dict)
        assert {name: json.loads(value) for name, value in fields.items()} == {
            "country": "FR",
            "age": 31,
            "events": 2,
            "0": [["stream", "track", 1, 1.0]],
            "1": [["stream", "track", 2, 1.0]],
        }


def test_a_redis_that_is_lost_is_one_sentence_and_one_that_is_back_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gpu_coldstart")
    port = free_port()

    async def story() -> None:
        store = RedisStore(f"redis://someone:secret@127.0.0.1:{port}/0", 60, 10)
        calls: list[Callable[[], Awaitable[object]]] = [
            store.check,
            lambda: store.get("zoe"),
            lambda: store.add("zoe", Known()),
        ]
        for call in calls:
            with pytest.raises(StoreError, match=r"^the store of users cannot be reached$"):
                await call()
        assert len(caplog.records) == 1
        assert f"127.0.0.1:{port}" in caplog.text
        assert "secret" not in caplog.text
        await store.close()
        store = RedisStore(f"redis://127.0.0.1:{port}/0", 60, 10)
        for _ in range(2):
            with redis_server(tmp_path, port):
                await store.check()
                await store.add("zoe", Known("FR"))
                assert await store.get("zoe") == Known("FR")
            with pytest.raises(StoreError):
                await store.get("zoe")
        await store.close()

    asyncio.run(story())
    assert "can be used again" in caplog.text


def test_a_key_of_another_kind_is_a_store_error(url: str) -> None:
    async def story() -> None:
        store = RedisStore(url, 60, 10)
        with pytest.raises(StoreError):
            await store.get("zoe")
        await store.close()

    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.set("gpu-coldstart:user:zoe", "taken")
        asyncio.run(story())


def test_a_url_names_the_store() -> None:
    options = {"most_users": 10, "most_events": 10}
    assert isinstance(open_store("memory", ttl_s=1, **options), MemoryStore)
    for url in ("redis://localhost:6379/0", "rediss://:secret@host", "unix:///run/redis.sock"):
        assert isinstance(open_store(url, ttl_s=1, **options), RedisStore)


@pytest.mark.parametrize(
    "url", ["", "memroy", "http://secret@host", "redis://secret@host:port", "redis://h/x?db=secret"]
)
def test_a_url_of_no_store_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(UserError) as refused:
        open_store(url, ttl_s=1, most_users=1, most_events=1)
    assert "redis://" in str(refused.value)
    assert "secret" not in str(refused.value)
