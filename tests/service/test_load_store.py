"""Filling a store from files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import redis

from gpu_coldstart.service.redis_store import RedisStore
from gpu_coldstart.service.stores import Known
from gpu_coldstart.serving.recommender import Event
from tests.runs.helpers import refused
from tests.service.redis_server import free_port, redis_server
from tests.test_cli import calling


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Redis server."""
    with redis_server(tmp_path_factory.mktemp("redis"), free_port()) as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """The same, emptied."""
    with redis.Redis.from_url(server) as client:
        client.flushall()
    return server


def known(url: str, *users: str) -> list[Known | None]:
    """What the store knows of some users."""

    async def ask() -> list[Known | None]:
        store = RedisStore(url, 60, 10)
        found = [await store.get(user) for user in users]
        await store.close()
        return found

    return asyncio.run(ask())


def written(folder: Path, name: str, ending: str, columns: dict[str, object]) -> Path:
    path, table = folder / f"{name}{ending}", pa.table(columns)
    if ending == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("ending", [".parquet", ".csv"])
def test_the_store_knows_what_files_say(tmp_path: Path, url: str, ending: str) -> None:
    users = written(
        tmp_path,
        "users",
        ending,
        {"user_id": [7, 8], "country": ["FR", None], "age": pa.array([31, None], pa.int64())}
        | {"split": ["test", "test"]},
    )
    interactions = written(
        tmp_path,
        "interactions",
        ending,
        {"user_id": [8, 7, 9, 8], "action": ["stream", "skip", "ban", "stream"]}
        | {"entity": ["track", "artist", "track", "album"], "entity_id": [1, 2, 3, 4]}
        | {"count": [1, 2, 3, 4]},
    )
    line = ["load-store", url, "--users", users, "--interactions", interactions]
    result = calling(*line)
    assert result.status == 0, result.err
    assert result.out.splitlines() == [
        f"note: 1 interactions are of users whom {users} does not have",
        "2 users and 3 events are in the store",
    ]
    # Of a CSV file, ids of entities stay text.
    one, two, four = ("1", "2", "4") if ending == ".csv" else (1, 2, 4)
    seven = Known("FR", 31, (Event("skip", "artist", two, 2.0),))
    eight = (Event("stream", "track", one, 1.0), Event("stream", "album", four, 4.0))
    assert known(url, "7", "8", "9") == [seven, Known(None, None, eight), None]
    assert calling(*line).status == 0
    assert known(url, "7") == [Known("FR", 31, 2 * seven.events)]


def test_only_the_day_of_registration_counts(tmp_path: Path, url: str) -> None:
    start = datetime(2026, 1, 1, 23, 30, tzinfo=UTC)
    moments = [start + timedelta(hours=hours) for hours in (-24, -0.5, 0, 0.49, 0.5)]
    for unit in ("ms", "ns"):
        kind = pa.timestamp(unit, "UTC")
        users = written(
            tmp_path,
            "users",
            ".parquet",
            {"user_id": [unit], "registered_at": pa.array([start], kind)},
        )
        interactions = written(
            tmp_path,
            "interactions",
            ".parquet",
            {"user_id": [unit] * 5, "timestamp": pa.array(moments, kind), "action": ["stream"] * 5}
            | {"entity": ["track"] * 5, "entity_id": list("abcde")},
        )
        result = calling("load-store", url, "--users", users, "--interactions", interactions)
        assert result.status == 0, result.err
        (found,) = known(url, unit)
        assert found is not None
        assert [event.id for event in found.events] == ["b", "c", "d"]


def test_many_users_are_loaded(tmp_path: Path, url: str) -> None:
    users = written(tmp_path, "users", ".parquet", {"user_id": list(range(1000))})
    assert calling("load-store", url, "--users", users).status == 0
    with redis.Redis.from_url(url) as client:
        assert client.dbsize() == 1000


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("action", ["stream", "play"], ["user '7'", "events[1].action", "'stream'"]),
        ("entity", ["song", "track"], ["user '7'", "events[0].entity"]),
        ("count", [1, 0], ["user '7'", "events[1].count", "greater than 0"]),
        ("entity_id", ["a", None], ["user '7'", "events[1].id"]),
    ],
)
def test_what_the_service_would_refuse_is_refused(
    tmp_path: Path, url: str, column: str, values: list[object], words: list[str]
) -> None:
    users = written(tmp_path, "users", ".parquet", {"user_id": ["7"]})
    columns: dict[str, object] = {"user_id": ["7", "7"], "action": ["stream", "stream"]}
    columns |= {"entity": ["track", "track"], "entity_id": ["a", "b"], column: values}
    interactions = written(tmp_path, "interactions", ".parquet", columns)
    refused(calling("load-store", url, "--users", users, "--interactions", interactions), *words)
    assert known(url, "7") == [None]


def test_a_store_that_cannot_be_filled_is_one_sentence(tmp_path: Path) -> None:
    users = written(tmp_path, "users", ".parquet", {"user_id": [7]})
    port = free_port()
    refused(calling("load-store", f"redis://localhost:{port}", "--users", users), str(port))
    refused(calling("load-store", "memory", "--users", users), "Redis")
    refused(calling("load-store", "redis://h", "--users", users, "--ttl", 0), "--ttl")
    refused(calling("load-store", "redis://h", "--users", tmp_path / "none.csv"), "none.csv")


def test_more_events_than_the_cap_are_refused(tmp_path: Path, url: str) -> None:
    users = written(tmp_path, "users", ".parquet", {"user_id": ["7"]})
    columns: dict[str, object] = {"user_id": ["7"] * 3, "action": ["stream"] * 3}
    columns |= {"entity": ["track"] * 3, "entity_id": [1, 2, 3]}
    interactions = written(tmp_path, "interactions", ".parquet", columns)
    line = ["load-store", url, "--users", users, "--interactions", interactions]
    refused(calling(*line, "--max-events", 2), "user '7'", "at most 2 events", "--max-events")
