"""The data contract: what loads."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_coldstart.data.tables import ACTIONS, ENTITIES, SPLITS, Source, load
from gpu_coldstart.datasets import events
from gpu_coldstart.engine.base import Column
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.errors import UserError

ENGINE = CpuEngine()
DAY = datetime(2020, 11, 2, 10, 30)
DAY_US = 1_604_313_000_000_000


def example() -> dict[str, dict[str, Any]]:
    """The columns of small valid tables, with every optional one."""
    return {
        "users": {
            "user_id": [7, -5, 9],
            "registered_at": pa.array([DAY] * 3, pa.timestamp("us")),
            "country": ["FR", None, "BR"],
            "age": [31, None, 0],
            "split": ["warm", "test", "validation"],
        },
        "tracks": {
            "track_id": [100, 2**62],
            "artist_id": [1, None],
            "album_id": [None, 4],
            "genre": ["jazz", None],
        },
        "interactions": {
            "user_id": [7, 7, 9, 9],
            "timestamp": pa.array([DAY] * 4, pa.timestamp("us")),
            "action": ["stream", "ban", "search", "onboarding"],
            "entity": ["track", "album", "playlist", "artist"],
            "entity_id": [100, 4, 1, 1],
            "count": [3, 1, 1, 1],
        },
        "playlists": {"playlist_id": [1, 1], "track_id": [100, 2**62], "position": [0, None]},
    }


def arrow(columns: dict[str, dict[str, Any]]) -> dict[str, pa.Table]:
    return {name: pa.table(table) for name, table in columns.items()}


def write(directory: Path, tables: dict[str, pa.Table]) -> Source:
    for name, table in tables.items():
        pq.write_table(table, directory / f"{name}.parquet")
    return events.source(directory)


def cells(column: Column) -> list[Any]:
    """A column as Python values, null as None."""
    names = column.names
    values = [names[v] if names else v for v in column.values.tolist()]
    valid = [True] * len(values) if column.valid is None else column.valid.tolist()
    return [value if ok else None for value, ok in zip(values, valid, strict=True)]


def rows(table: dict[str, Column]) -> list[dict[str, Any]]:
    columns = {name: cells(column) for name, column in table.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def message(source: Source) -> str:
    with pytest.raises(UserError) as caught:
        load(ENGINE, source)
    text = str(caught.value)
    assert "\n" not in text
    return text


# -- what loads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_files", [True, False], ids=["files", "arrow"])
def test_whole_example(tmp_path: Path, as_files: bool) -> None:
    tables = arrow(example())
    loaded = load(ENGINE, write(tmp_path, tables) if as_files else tables)
    users, tracks, interactions = loaded.users, loaded.tracks, loaded.interactions
    assert cells(users["user_id"]) == [7, -5, 9]
    assert cells(users["registered_at"]) == [DAY_US] * 3
    assert cells(users["country"]) == ["FR", None, "BR"]
    assert cells(users["age"]) == [31, None, 0]
    assert users["split"].names == SPLITS
    assert users["split"].values.tolist() == [0, 2, 1]
    assert cells(tracks["track_id"]) == [100, 2**62]
    assert cells(tracks["artist_id"]) == [1, None]
    assert cells(tracks["album_id"]) == [None, 4]
    assert cells(tracks["genre"]) == ["jazz", None]
    assert interactions["action"].names == ACTIONS
    assert interactions["action"].values.tolist() == [0, 3, 4, 5]
    assert interactions["action"].values.dtype == np.int32
    assert interactions["entity"].names == ENTITIES
    assert interactions["entity"].values.tolist() == [0, 2, 3, 1]
    assert interactions["entity"].values.dtype == np.int32
    assert cells(interactions["count"]) == [3, 1, 1, 1]
    assert loaded.playlists is not None
    assert cells(loaded.playlists["position"]) == [0, None]


def test_optional_parts_may_be_missing(tmp_path: Path) -> None:
    tables = arrow(example())
    del tables["playlists"]
    tables["users"] = tables["users"].select(["user_id", "registered_at"])
    tables["tracks"] = tables["tracks"].select(["track_id"])
    tables["interactions"] = tables["interactions"].drop_columns("count")
    loaded = load(ENGINE, write(tmp_path, tables))
    assert set(loaded.users) == {"user_id", "registered_at"}
    assert set(loaded.tracks) == {"track_id"}
    assert "count" not in loaded.interactions
    assert loaded.playlists is None


def test_other_columns_are_ignored() -> None:
    tables = arrow(example())
    odd = pa.array([[1], [2], []])
    tables["users"] = tables["users"].append_column("friends", odd)
    assert "friends" not in load(ENGINE, tables).users


def test_optional_column_of_nulls_only_is_absent() -> None:
    columns = example()
    columns["users"]["age"] = pa.nulls(3)
    columns["tracks"]["genre"] = pa.nulls(2)
    loaded = load(ENGINE, arrow(columns))
    assert "age" not in loaded.users
    assert "genre" not in loaded.tracks


def test_playlists_without_rows_are_none() -> None:
    tables = arrow(example())
    tables["playlists"] = tables["playlists"].slice(0, 0)
    assert load(ENGINE, tables).playlists is None


@pytest.mark.parametrize(
    "dtype",
    [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32()],
    ids=str,
)
def test_integer_widths(tmp_path: Path, dtype: Any) -> None:
    columns = example()
    columns["users"]["user_id"] = pa.array([7, 5, 9], dtype)
    loaded = load(ENGINE, write(tmp_path, arrow(columns)))
    assert loaded.users["user_id"].values.dtype == np.int64
    assert cells(loaded.users["user_id"]) == [7, 5, 9]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (pa.array([DAY], pa.timestamp("ms")), DAY_US),
        (pa.array([DAY], pa.timestamp("s")), DAY_US),
        (pa.array([DAY], pa.timestamp("ns")), DAY_US),
        (pa.array([DAY.replace(tzinfo=UTC)], pa.timestamp("us", "UTC")), DAY_US),
        (pa.array([DAY.replace(tzinfo=UTC)], pa.timestamp("ns", "Asia/Taipei")), DAY_US),
        (pa.array([DAY], pa.date32()), DAY_US - 37_800_000_000),
        (pa.array([DAY], pa.date64()), DAY_US - 37_800_000_000),
    ],
    ids=["ms", "s", "ns", "utc", "taipei", "date32", "date64"],
)
@pytest.mark.parametrize("as_files", [True, False], ids=["files", "arrow"])
def test_times(tmp_path: Path, array: pa.Array, expected: int, as_files: bool) -> None:
    columns = example()
    columns["users"]["registered_at"] = pa.concat_arrays([array] * 3)
    tables = arrow(columns)
    loaded = load(ENGINE, write(tmp_path, tables) if as_files else tables)
    assert cells(loaded.users["registered_at"]) == [expected] * 3


@pytest.mark.parametrize(
    "dtype",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int64(), pa.large_string()),
    ],
    ids=str,
)
@pytest.mark.parametrize("as_files", [True, False], ids=["files", "arrow"])
def test_string_types(tmp_path: Path, dtype: Any, as_files: bool) -> None:
    columns = example()
    columns["users"]["country"] = pa.array(["FR", None, "BR"], dtype)
    columns["users"]["split"] = pa.array(["test", "warm", "test"], dtype)
    tables = arrow(columns)
    loaded = load(ENGINE, write(tmp_path, tables) if as_files else tables)
    assert cells(loaded.users["country"]) == ["FR", None, "BR"]
    assert loaded.users["split"].values.tolist() == [2, 0, 2]


def test_words_a_dictionary_does_not_use_are_no_error() -> None:
    columns = example()
    codes = pa.array([1, 0, 1], pa.int8())
    columns["users"]["split"] = pa.DictionaryArray.from_arrays(codes, ["test", "warm", "lukewarm"])
    assert cells(load(ENGINE, arrow(columns)).users["split"]) == ["warm", "test", "warm"]


def test_null_as_a_word_of_the_dictionary() -> None:
    columns = example()
    codes = pa.array([1, 0, 1], pa.int8())
    columns["users"]["country"] = pa.DictionaryArray.from_arrays(codes, ["FR", None])
    assert cells(load(ENGINE, arrow(columns)).users["country"]) == [None, "FR", None]


IDS = st.integers(-(2**63), 2**63 - 1)
MICROSECONDS = st.integers(631_152_000_000_000, 4_133_980_799_999_999)  # 1990 to 2100
OPTIONAL = ["country", "age", "split", "artist_id", "album_id", "genre", "count", "position"]


@st.composite
def random_tables(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    """Tables of one to six rows, as dicts, with every optional column."""
    users = draw(st.lists(IDS, min_size=1, max_size=6, unique=True))
    tracks = draw(st.lists(IDS, min_size=1, max_size=6, unique=True))
    maybe = st.none() | IDS
    text = st.none() | st.text(st.characters(codec="utf-8"), max_size=3)
    return {
        "users": [
            {
                "user_id": user,
                "registered_at": draw(MICROSECONDS),
                "country": draw(text),
                "age": draw(st.none() | st.integers(0, 130)),
                "split": draw(st.sampled_from(SPLITS)),
            }
            for user in users
        ],
        "tracks": [
            {
                "track_id": track,
                "artist_id": draw(maybe),
                "album_id": draw(maybe),
                "genre": draw(text),
            }
            for track in tracks
        ],
        "interactions": [
            {
                "user_id": draw(st.sampled_from(users)),
                "timestamp": draw(MICROSECONDS),
                "action": draw(st.sampled_from(ACTIONS)),
                "entity": draw(st.sampled_from(ENTITIES)),
                "entity_id": draw(IDS),
                "count": draw(st.integers(1, 2**63 - 1)),
            }
            for _ in range(draw(st.integers(1, 6)))
        ],
        "playlists": [
            {"playlist_id": draw(IDS), "track_id": draw(IDS), "position": draw(maybe)}
            for _ in range(draw(st.integers(1, 6)))
        ],
    }


TYPES = {
    **dict.fromkeys(["registered_at", "timestamp"], pa.timestamp("us")),
    **dict.fromkeys(["country", "split", "genre", "action", "entity"], pa.string()),
}


def shuffled(table: list[dict[str, Any]], order: random.Random, absent: set[str]) -> pa.Table:
    """The rows in another order, without the absent columns."""
    mixed = order.sample(table, len(table))
    names = [name for name in table[0] if name not in absent]
    return pa.table(
        {
            name: pa.array([row[name] for row in mixed], TYPES.get(name, pa.int64()))
            for name in names
        }
    )


def content(table: list[dict[str, Any]]) -> list[str]:
    return sorted(repr(sorted(row.items())) for row in table)


@settings(max_examples=60, deadline=None)
@given(random_tables(), st.randoms(use_true_random=False), st.sets(st.sampled_from(OPTIONAL)))
def test_content_survives_whatever_ids_order_and_absent_columns(
    tables: dict[str, list[dict[str, Any]]], order: random.Random, absent: set[str]
) -> None:
    source = {name: shuffled(table, order, absent) for name, table in tables.items()}
    loaded = load(ENGINE, source)
    for name, table in tables.items():
        kept = [{k: v for k, v in row.items() if k not in absent} for row in table]
        assert content(rows(getattr(loaded, name))) == content(kept)
