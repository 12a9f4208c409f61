"""What is said about tables that break the data contract."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.data.files import open_table
from gpu_coldstart.data.frames import to_arrow
from gpu_coldstart.data.tables import ACTIONS, ENTITIES, SPLITS, load
from gpu_coldstart.datasets import events
from gpu_coldstart.errors import UserError
from tests.test_tables import DAY, DAY_US, ENGINE, arrow, example, message, write

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
    "float id": Wrong("users", "user_id", [1.0, 2.0, 3.0], ("the type is double", "cast it")),
    "boolean id": Wrong("tracks", "track_id", [True, False], ("the type is bool", "an integer")),
    "uint64 id": Wrong(
        "tracks", "track_id", pa.array([1, 2**63], pa.uint64()), ("row 1,", str(2**63), "int64")
    ),
    "fractional age": Wrong(
        "users", "age", [1.0, None, 31.5], ("row 2,", "31.5 is no whole number")
    ),
    "integer time": Wrong(
        "users", "registered_at", [1, 2, 3], ("the type is int64", "to_datetime")
    ),
    "text time": Wrong("users", "registered_at", ["2020-01-01"] * 3, ("a timestamp or a date",)),
    "number country": Wrong("users", "country", [1, 2, 3], ("the type is int64", "a string")),
    "nulls for ids": Wrong("users", "user_id", pa.nulls(3), ("the type is null",)),
    "nested": Wrong("tracks", "artist_id", [[1], [2]], ("the type is list", "an integer")),
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


@pytest.mark.parametrize("table", ["users", "tracks", "interactions", "playlists"])
@pytest.mark.parametrize("kind", ["its own types", "null", "double", "no columns"])
@pytest.mark.parametrize("as_files", [True, False], ids=["files", "arrow"])
def test_no_rows(tmp_path: Path, table: str, kind: str, as_files: bool) -> None:
    """An empty frame says nothing of its types, or not even its columns."""
    tables = arrow(example())
    empty = tables[table].slice(0, 0)
    if kind in ("null", "double"):
        empty = pa.table({name: pa.array([], kind) for name in empty.column_names})
    tables[table] = pa.table({}) if kind == "no columns" else empty
    source = write(tmp_path, tables) if as_files else tables
    if table == "playlists":
        assert load(ENGINE, source).playlists is None
    else:
        file = tmp_path / f"{table}.parquet" if as_files else table
        assert message(source).startswith(f"{file} has no rows: it should hold the columns")


@pytest.mark.parametrize(
    ("values", "remedy"),
    [
        (["31", "x", None], r"pandas.to_numeric(...).astype('Int64')"),
        ([b"31", b"4", None], ".str.decode('utf-8')"),
        ([True, False, None], ".astype('Int64')"),
        ([[31], [4], None], "give each row a single value"),
        ([31.5, 4.0, None], "write a whole number"),
    ],
)
def test_the_remedy_is_one_that_works(values: list[Any], remedy: str) -> None:
    columns = example()
    columns["users"]["age"] = pa.array(values)
    assert message(arrow(columns)).endswith(remedy)


@pytest.mark.parametrize("name", ["\ufeffuser_id", "user_id\u200b", " user_id", "\x00user_id"])
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_what_is_wrong_with_the_name_of_a_column_can_be_seen(
    tmp_path: Path, form: str, name: str
) -> None:
    tables = arrow(example())
    write(tmp_path, tables)
    if form == "csv":
        (tmp_path / "users.parquet").unlink()
        (tmp_path / "users.csv").write_text(f"\ufeff{name},registered_at\n7,2020-11-02\n", "utf-8")
    else:
        users = tables["users"]
        renamed = [name if old == "user_id" else old for old in users.column_names]
        pq.write_table(users.rename_columns(renamed), tmp_path / "users.parquet")
    assert f"has no column 'user_id' (it has {name!r}" in message(events.source(tmp_path))


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
@pytest.mark.parametrize("kind", ["integers", "range", "strings"])
@pytest.mark.parametrize("form", ["frame", "parquet", "csv"])
def test_ids_in_the_index_of_a_pandas_frame(
    tmp_path: Path, form: str, kind: str, named: bool
) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(example()["users"]).drop(columns="user_id")
    index = {"integers": [9, 4, 7], "range": pandas.RangeIndex(3), "strings": ["a", "b", "c"]}[kind]
    frame = frame.set_index(pandas.Index(index, name="user_id" if named else None))
    if form == "frame":
        with pytest.raises(UserError) as caught:
            load(ENGINE, {**arrow(example()), "users": to_arrow("users", frame)})
        text = str(caught.value)
    else:
        write(tmp_path, arrow(example()))
        (tmp_path / "users.parquet").unlink()
        getattr(frame, f"to_{form}")(tmp_path / f"users.{form}")
        if named and (form == "csv" or kind != "range"):
            open_table(tmp_path / f"users.{form}", "users")  # pandas wrote it as a column
            return
        text = message(events.source(tmp_path))
    assert "user_id" in text
    unseen = kind == "range" and not named and form != "csv"
    assert ("reset_index()" in text) != unseen  # that it is no plain numbering nobody can see


@pytest.mark.parametrize(
    ("table", "name", "other"),
    [
        ("users", "user_id", "userid"),
        ("users", "registered_at", "Registered_At"),
        ("tracks", "track_id", "trackId"),
        ("interactions", "user_id", "user"),
        ("interactions", "action", "actions"),
        ("interactions", "entity", "entities"),
        ("interactions", "entity_id", "entityId"),
        ("interactions", "timestamp", "time_stamp"),
        ("playlists", "playlist_id", "playlist"),
        ("playlists", "track_id", "tracks_id"),
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


@pytest.mark.parametrize("table", ["users", "tracks", "interactions", "playlists"])
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
def test_damaged_file(
    tmp_path: Path, table: str, change: Callable[[bytes], bytes], says: str
) -> None:
    source = write(tmp_path, arrow(example()))
    path = tmp_path / f"{table}.parquet"
    damage(change, path)
    assert f"{path} {says}" in message(source)


def test_directory_in_place_of_a_file(tmp_path: Path) -> None:
    source = write(tmp_path, arrow(example()))
    (tmp_path / "users.parquet").unlink()
    (tmp_path / "users.parquet").mkdir()
    assert "is a directory without part files" in message(source)


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
