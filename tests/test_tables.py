"""The data contract: what loads, and what is said about data that does not."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_coldstart.datasets import events
from gpu_coldstart.engine.base import Column
from gpu_coldstart.engine.cpu import CpuEngine
from gpu_coldstart.errors import UserError
from gpu_coldstart.tables import ACTIONS, ENTITIES, SPLITS, Source, load

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


# -- what does not load ----------------------------------------------------------------------------


class Wrong(NamedTuple):
    """A column put in place of a valid one, and what the error must say."""

    table: str
    column: str
    values: Any
    says: tuple[str, ...]


FAR = pa.array([DAY_US, 2**60, DAY_US], pa.timestamp("us"))
LONG_AGO = pa.array([DAY, DAY, datetime(1989, 12, 31), DAY], pa.timestamp("us"))
NEXT_CENTURY = pa.array([datetime(2101, 1, 1)] * 3, pa.timestamp("us"))
WRONG = {
    "float id": Wrong("users", "user_id", [1.0, 2.0, 3.0], ("found the type double", "cast it")),
    "text id": Wrong("tracks", "track_id", ["a", "b"], ("found the type string", "an integer")),
    "uint64 id": Wrong(
        "tracks", "track_id", pa.array([1, 2], pa.uint64()), ("found the type uint64", "int64")
    ),
    "float age": Wrong("users", "age", [1.0, None, 2.0], ("found the type double", "Int64")),
    "integer time": Wrong(
        "users", "registered_at", [1, 2, 3], ("found the type int64", "to_datetime")
    ),
    "text time": Wrong("users", "registered_at", ["2020-01-01"] * 3, ("a timestamp or a date",)),
    "number country": Wrong("users", "country", [1, 2, 3], ("found the type int64", "a string")),
    "nulls for ids": Wrong("users", "user_id", pa.nulls(3), ("found the type null",)),
    "nested": Wrong("tracks", "artist_id", [[1], [2]], ("found the type list", "an integer")),
    "null id": Wrong("users", "user_id", [1, None, None], ("row 1,", "null", "drop the row")),
    "null time": Wrong(
        "interactions",
        "timestamp",
        pa.array([DAY, DAY, DAY, None], pa.timestamp("us")),
        ("row 3,", "null"),
    ),
    "null action": Wrong("interactions", "action", ["stream", None, "x", "y"], ("row 1,", "null")),
    "null split": Wrong("users", "split", ["warm", "test", None], ("row 2,", "whole column out")),
    "null count": Wrong("interactions", "count", [1, 1, 1, None], ("row 3,", "whole column out")),
    "all null split": Wrong("users", "split", pa.nulls(3, pa.string()), ("row 0,", "null")),
    "same user": Wrong("users", "user_id", [9, 4, 9], ("row 2,", "the id 9", "in row 0")),
    "same track": Wrong("tracks", "track_id", [-1, -1], ("row 1,", "the id -1", "in row 0")),
    "old": Wrong("users", "age", [4, 131, 140], ("row 1,", "131", "0 to 130", "write null")),
    "unborn": Wrong("users", "age", [4, None, -1], ("row 2,", "-1", "0 to 130", "write null")),
    "far time": Wrong("users", "registered_at", FAR, ("row 1,", "year 38504", "1990 to 2100")),
    "early time": Wrong("interactions", "timestamp", LONG_AGO, ("row 2,", "year 1989", "unit")),
    "late time": Wrong("users", "registered_at", NEXT_CENTURY, ("row 0,", "year 2101")),
    "unknown action": Wrong(
        "interactions",
        "action",
        ["stream", "listen", "ban", "listen"],
        ("row 1,", "'listen'", ", ".join(ACTIONS)),
    ),
    "unknown entity": Wrong(
        "interactions",
        "entity",
        ["track", "album", "Artist", "artist"],
        ("row 2,", "'Artist'", ", ".join(ENTITIES)),
    ),
    "unknown split": Wrong(
        "users", "split", ["warm", "train", "test"], ("row 1,", "'train'", ", ".join(SPLITS))
    ),
    "count 0": Wrong("interactions", "count", [1, 2, 0, -1], ("row 2,", "0 is below 1")),
    "null playlist": Wrong("playlists", "playlist_id", [None, 1], ("row 0,", "null")),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("as_files", [True, False], ids=["files", "arrow"])
def test_wrong_column(tmp_path: Path, wrong: Wrong, as_files: bool) -> None:
    columns = example()
    columns[wrong.table][wrong.column] = wrong.values
    tables = arrow(columns)
    text = message(write(tmp_path, tables) if as_files else tables)
    file = str(tmp_path / f"{wrong.table}.parquet") if as_files else wrong.table
    assert text.startswith(f"{file}, column '{wrong.column}'")
    for part in wrong.says:
        assert part in text


@pytest.mark.parametrize("table", ["users", "tracks", "interactions"])
@pytest.mark.parametrize("as_files", [True, False], ids=["files", "arrow"])
def test_no_rows(tmp_path: Path, table: str, as_files: bool) -> None:
    tables = arrow(example())
    tables[table] = tables[table].slice(0, 0)
    assert f"{table}{'.parquet' if as_files else ''} has no rows" in message(
        write(tmp_path, tables) if as_files else tables
    )


@pytest.mark.parametrize(
    ("table", "name", "other"),
    [
        ("users", "user_id", "userid"),
        ("users", "registered_at", "Registered_At"),
        ("tracks", "track_id", "trackId"),
        ("interactions", "action", "actions"),
        ("interactions", "timestamp", "time_stamp"),
        ("playlists", "playlist_id", "playlist"),
    ],
)
def test_missing_column_names_a_similar_one(
    tmp_path: Path, table: str, name: str, other: str
) -> None:
    columns = example()
    columns[table][other] = columns[table].pop(name)
    text = message(write(tmp_path, arrow(columns)))
    assert f"{tmp_path / table}.parquet has no column '{name}'" in text
    assert f"'{other}'" in text


def test_missing_column_lists_what_there_is() -> None:
    tables = arrow(example())
    tables["tracks"] = pa.table({"song": [1], "by": [2]})
    assert "tracks has no column 'track_id' (it has 'song', 'by')" in message(tables)


def test_column_twice() -> None:
    tables = arrow(example())
    tables["users"] = tables["users"].append_column("user_id", pa.array([1, 2, 3]))
    assert "users has 2 columns named 'user_id': keep one" in message(tables)


@pytest.mark.parametrize("table", ["users", "tracks", "interactions"])
def test_missing_table(tmp_path: Path, table: str) -> None:
    tables = arrow(example())
    del tables[table]
    assert f"no table '{table}'" in message(tables)
    with pytest.raises(UserError, match=rf"{table}\.parquet does not exist: .*columns"):
        write(tmp_path, tables)


def test_file_gone_since(tmp_path: Path) -> None:
    source = write(tmp_path, arrow(example()))
    (tmp_path / "tracks.parquet").unlink()
    assert f"{tmp_path / 'tracks.parquet'} does not exist: it should be" in message(source)


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist: .*users\.parquet"):
        events.source(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is a file, not a directory"):
        events.source(tmp_path / "file")


def damage(change: Callable[[bytes], bytes], path: Path) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda _: b"user_id,age\n1,2\n", "is not a Parquet file: convert it"),
        (lambda _: b"", "is empty"),
        (lambda whole: whole[: len(whole) // 2], "is cut short"),
        (lambda whole: whole[:-200] + bytes(192) + whole[-8:], "is damaged, its footer"),
        (lambda whole: whole[:-8] + b"\xff\xff\xff\x7fPAR1", "is damaged, its footer"),
        (lambda whole: whole[:4] + bytes(b ^ 255 for b in whole[4:80]) + whole[80:], "is damaged"),
    ],
    ids=["csv", "empty", "cut", "footer", "footer length", "pages"],
)
def test_damaged_file(tmp_path: Path, change: Callable[[bytes], bytes], says: str) -> None:
    source = write(tmp_path, arrow(example()))
    damage(change, tmp_path / "users.parquet")
    assert f"{tmp_path / 'users.parquet'} {says}" in message(source)


def test_directory_in_place_of_a_file(tmp_path: Path) -> None:
    source = write(tmp_path, arrow(example()))
    (tmp_path / "users.parquet").unlink()
    (tmp_path / "users.parquet").mkdir()
    assert "is a directory: merge its parts" in message(source)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    columns = example()
    columns["users"]["country"] = ["zq", None, "BR"]
    tables = arrow(columns)
    for name, table in tables.items():
        pq.write_table(table, tmp_path / f"{name}.parquet", compression="none")
    path = tmp_path / "users.parquet"
    damage(lambda whole: whole.replace(b"\x02\x00\x00\x00zq", b"\x02\x00\x00\x00\xff\xfe"), path)
    assert f"{path} is damaged" in message(events.source(tmp_path))


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_random_damage_is_an_error_or_other_values(tmp_path: Path, compression: str) -> None:
    tables: dict[str, Any] = arrow(example())
    path = tmp_path / "users.parquet"
    pq.write_table(tables["users"], path, compression=compression)
    whole = path.read_bytes()
    for seed in range(100):
        path.write_bytes(mutated(whole, random.Random(seed)))
        text = ""
        try:
            load(ENGINE, {**tables, "users": path})
        except UserError as error:
            text = str(error)
        assert not text or str(path) in text


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """Cut somewhere, or with one to eight bytes replaced."""
    if draw.random() < 0.2:
        return whole[: draw.randrange(len(whole))]
    changed = bytearray(whole)
    for _ in range(draw.choice([1, 2, 8])):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)
