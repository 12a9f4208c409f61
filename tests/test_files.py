"""Tables as directories of part files, as CSV, and as frames."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.config.parameters import SplitConfig
from gpu_coldstart.config.resolve import from_toml
from gpu_coldstart.data.files import open_table
from gpu_coldstart.data.frames import to_arrow
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.tables import Source, load, read
from gpu_coldstart.datasets import events
from gpu_coldstart.datasets.deezer.columns import ReleaseFile
from gpu_coldstart.engine import Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.checkpoint import FileCheckpoint
from gpu_coldstart.runs.fingerprint import fingerprint
from gpu_coldstart.runs.store import RunDirectory
from gpu_coldstart.serving import bundle
from tests.test_tables import DAY, DAY_US, ENGINE, arrow, example, message, rows, write


def parts(tmp_path: Path, name: str, tables: dict[str, pa.Table]) -> Path:
    """A data set whose table ``name`` is one file for each row, in hive folders."""
    write(tmp_path, tables)
    (tmp_path / f"{name}.parquet").unlink()
    for row in range(tables[name].num_rows):
        folder = tmp_path / name / f"user_id={row}"
        folder.mkdir(parents=True)
        pq.write_table(tables[name].slice(row, 1), folder / "part-0.parquet")
    (tmp_path / name / "_SUCCESS").touch()
    return tmp_path / name


@pytest.mark.parametrize("kept", [True, False], ids=["with", "without"])
@pytest.mark.parametrize("column", ["country", "split", "age"])
@pytest.mark.parametrize("form", ["parts", "one part", "file"])
def test_names_of_folders_are_not_data(tmp_path: Path, form: str, column: str, kept: bool) -> None:
    tables = arrow(example())
    users = tables["users"] if kept else tables["users"].drop_columns([column])
    data = tmp_path / f"{column}=test"
    data.mkdir()
    write(data, tables)
    (data / "users.parquet").unlink()
    if form == "file":
        pq.write_table(users, data / "users.parquet")
    for start, length in {"parts": [(0, 1), (1, 2)], "one part": [(0, 3)], "file": []}[form]:
        folder = data / "users" / f"{column}=test" / f"country={start}"
        folder.mkdir(parents=True)
        pq.write_table(users.slice(start, length), folder / "part-0.parquet")
    (data / "_SUCCESS").touch()
    wanted = load(ENGINE, tables | {"users": users}).users
    assert rows(load(ENGINE, events.source(data)).users) == rows(wanted)


@pytest.mark.parametrize("form", ["file", "parts"])
def test_a_byte_that_turns_one_value_into_another(tmp_path: Path, form: str) -> None:
    """Only checksums of its pages can tell, where the file has them."""
    columns = example()
    columns["users"]["age"] = [77, 31, 30]
    tables = arrow(columns)
    write(tmp_path, tables)
    place = tmp_path / "users.parquet"
    if form == "parts":
        place.unlink()
        place = tmp_path / "users" / "country=FR" / "part-0.parquet"
        place.parent.mkdir(parents=True)
    users = tables["users"]
    pq.write_table(users, place, use_dictionary=False, compression="none", write_page_checksum=True)
    content, age = place.read_bytes(), (77).to_bytes(8, "little")
    place.write_bytes(content.replace(age, (78).to_bytes(8, "little")))
    assert f"{place} is damaged" in message(events.source(tmp_path))


def test_errors_name_the_part(tmp_path: Path) -> None:
    columns = example()
    columns["users"]["age"] = [31, 30, 200]
    folder = parts(tmp_path, "users", arrow(columns))
    place = folder / "user_id=2" / "part-0.parquet"
    assert message(events.source(tmp_path)).startswith(f"{place}, column 'age', row 0,")


def test_parts_of_different_types(tmp_path: Path) -> None:
    folder = parts(tmp_path, "users", arrow(example()))
    odd = folder / "user_id=1" / "part-0.parquet"
    table = pq.ParquetFile(odd).read()
    place = table.column_names.index("age")
    pq.write_table(table.set_column(place, "age", pa.array(["x"])), odd)
    text = message(events.source(tmp_path))
    assert f"{odd}, column 'age' has the type string" in text
    assert "has the type int64" in text


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_place_whose_name_is_not_utf8(engine: Engine, tmp_path: Path, kind: str) -> None:
    place = tmp_path / os.fsdecode(b"r\xff\xe9")
    place.mkdir()
    tables = arrow(example())
    for name, table in tables.items():
        if kind == "parquet":
            with (place / f"{name}.parquet").open("wb") as file:
                pq.write_table(table, file)
        else:
            with (place / f"{name}.csv").open("wb") as file:
                pyarrow.csv.write_csv(table, file)
    assert rows(load(engine, events.source(place)).users) == rows(load(engine, tables).users)


def test_csv(tmp_path: Path) -> None:
    tables = arrow(example())
    for name, table in tables.items():
        pyarrow.csv.write_csv(table, tmp_path / f"{name}.csv")
    loaded, wanted = load(ENGINE, events.source(tmp_path)), load(ENGINE, tables)
    for name in tables:
        assert rows(getattr(loaded, name)) == rows(getattr(wanted, name))


def test_csv_that_is_wrong(tmp_path: Path) -> None:
    write(tmp_path, arrow(example()))
    (tmp_path / "users.parquet").unlink()
    path = tmp_path / "users.csv"
    path.write_text("user_id,registered_at,age\n7,2020-11-02,x\n007,yesterday,3\n")
    text = message(events.source(tmp_path))
    assert f"{path}, column 'age', row 0, counting from 0: 'x' is not a whole number" in text
    assert f"{path}, column 'registered_at', row 1, counting from 0: 'yesterday' is" in text


def a_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, contextlib.chdir(place.parent):
        server.bind(place.name)  # a whole path may be too long for one


NO_FILES: dict[str, Callable[[Path], None]] = {
    "a link to nowhere": lambda place: place.symlink_to("nowhere"),
    "a link to itself": lambda place: place.symlink_to(place.name),
    "a pipe": os.mkfifo,
    "a socket": a_socket,
    "a device": lambda place: place.symlink_to(os.devnull),
}
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "an optional table": ("playlists.parquet", lambda path: events.source(path.parent)),
    "a required table": ("users.csv", lambda path: events.source(path.parent)),
    "part files": ("users/part.parquet", lambda path: open_table(path.parent, "users")),
    "a file of recommend": ("users.parquet", lambda path: open_table(path, "users")),
    "a configuration": ("mine.toml", from_toml),
    "a bundle": ("bundle.json", lambda path: bundle.read(path.parent)),
    "a run": ("manifest.json", lambda path: RunDirectory.finished(path.parent)),
    "the public release": ("song_embeddings.parquet", ReleaseFile),
    "input to be hashed": ("users.parquet", lambda path: fingerprint({"users": path})),
    "a checkpoint": ("state", lambda path: FileCheckpoint(path, "key").load()),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str, reader: str) -> None:
    name, read = READERS[reader]
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    NO_FILES[kind](place)
    if reader == "a checkpoint" and kind.startswith("a link"):
        assert read(place) is None  # the next one takes its place
        return
    says = {
        "a link to nowhere": "link to a file that does not exist|No such file|json is missing",
        "a link to itself": "Too many levels of symbolic links|json is missing",
    }
    with pytest.raises(UserError, match=says.get(kind, "a pipe, socket or device")) as caught:
        read(place)
    assert str(tmp_path) in str(caught.value)


def beyond(unit: str, year: int) -> pa.Array:
    """A moment of today, one of a far year in a unit of its own, and another of today."""
    days = int(np.datetime64(year - 1970, "Y").astype("datetime64[D]").astype(np.int64))
    if unit == "date32":
        return pa.array([DAY_NUMBER, days, DAY_NUMBER], pa.int32()).cast(pa.date32())
    each = 86_400_000 if unit == "date64" else 86_400 * PER_SECOND[unit]
    numbers = pa.array([number * each for number in (DAY_NUMBER, days, DAY_NUMBER)], pa.int64())
    return numbers.cast(pa.date64() if unit == "date64" else pa.timestamp(unit))


DAY_NUMBER = DAY_US // 86_400_000_000
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
WRAPS = 584_542 + 2020
"""A year that reads as 2020 or thereabouts when its microseconds wrap around int64."""


@pytest.mark.parametrize(
    ("unit", "year"),
    [
        *((unit, year) for unit in ("s", "ms", "date32", "date64") for year in (2101, 9999, WRAPS)),
        ("us", 2101),
        ("us", 9999),
        ("us", 290_000),
        ("ns", 2101),
        ("ns", 2261),
        *(("int96", year) for year in (2101, 2263, 9999, 300_000, WRAPS)),
    ],
)
@pytest.mark.parametrize("as_files", [True, False], ids=["files", "arrow"])
def test_moments_that_would_wrap_are_of_their_true_year(
    engine: Engine, tmp_path: Path, unit: str, year: int, as_files: bool
) -> None:
    tables = arrow(example())
    options = {}
    if unit == "int96":
        options["use_deprecated_int96_timestamps"] = as_files
    moments = beyond("ms" if unit == "int96" else unit, year)
    place = tables["users"].column_names.index("registered_at")
    tables["users"] = tables["users"].set_column(place, "registered_at", moments)
    source: Source = tables
    if as_files:
        source = write(tmp_path, arrow(example()))
        pq.write_table(tables["users"], tmp_path / "users.parquet", **options)
    with pytest.raises(UserError) as caught:
        load(engine, source)
    said = f"row 1, counting from 0: the time lies in the year {year}, outside"
    assert said in str(caught.value)


def test_far_moments_of_newcomers_and_csv(tmp_path: Path) -> None:
    moments = beyond("ms", WRAPS)
    events_of_today = pa.table(
        {"user_id": [1] * 3, "timestamp": moments, "action": ["stream"] * 3}
        | {"entity": ["track"] * 3, "entity_id": [1] * 3}
    )
    (problem,) = read(ENGINE, {"interactions": events_of_today}).problems
    assert f"the year {WRAPS}," in str(problem)
    write(tmp_path, arrow(example()))
    (tmp_path / "users.parquet").unlink()
    (tmp_path / "users.csv").write_text("user_id,registered_at\n7,2020-11-02\n8,9999-12-31\n")
    assert "row 1, counting from 0: the time lies in the year 9999" in message(
        events.source(tmp_path)
    )


def test_int96_moments(tmp_path: Path) -> None:
    columns = example()
    moments = [datetime(2099, 1, 1, 2, 3, 4, 567_000), DAY, None]
    tables = arrow(columns)
    place = tables["users"].column_names.index("registered_at")
    source = write(tmp_path, tables)

    def put(*moments: datetime | None) -> None:
        odd = tables["users"].set_column(
            place, "registered_at", pa.array([*moments, DAY], pa.timestamp("us"))
        )
        pq.write_table(odd, tmp_path / "users.parquet", use_deprecated_int96_timestamps=True)

    put(*moments[:2])
    loaded = load(ENGINE, source)
    assert rows(loaded.users)[0]["registered_at"] == 4_070_916_184_567_000
    assert rows(loaded.users)[1]["registered_at"] == DAY_US
    put(DAY, datetime(2500, 1, 1))  # beyond what int64 counts in nanoseconds
    assert "row 1, counting from 0: the time lies in the year 2500" in message(source)
    put(DAY, None)
    assert "row 1, counting from 0: the cell is null" in message(source)


def test_numbers_in_a_csv_file(tmp_path: Path) -> None:
    write(tmp_path, arrow(example()))
    (tmp_path / "users.parquet").unlink()
    path = tmp_path / "users.csv"
    for text in ("1_0", " 12", "\u0663"):
        path.write_text(f"user_id,registered_at,age\n7,2020-11-02,+4.0\n8,2020-11-02,{text}\n")
        said = message(events.source(tmp_path))
        assert f"column 'age', row 1, counting from 0: {text!r} is not a whole number" in said


def test_part_files_that_would_be_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = parts(tmp_path, "users", arrow(example()))
    source = events.source(tmp_path)

    def refused(name: str, says: str) -> None:
        assert f"{folder / name} {says}" in message(source)

    for name in ("c.PARQUET", "d.pq", "e.parquet.gz"):
        (folder / name).touch()
        refused(name, "is no part file")
        (folder / name).unlink()
    (folder / ".c.PARQUET.crc").touch()
    (tmp_path / "elsewhere").mkdir()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    refused("linked", "is a link to a folder")
    with pytest.raises(UserError, match="is a link to a folder"):
        fingerprint({"users": folder})
    (folder / "linked").unlink()
    load(ENGINE, source)
    closed = os.scandir

    def scandir(path: Any) -> Any:
        if str(path).endswith("user_id=1"):
            raise PermissionError(13, "Permission denied", str(path))
        return closed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    refused("user_id=1", "cannot be read (Permission denied)")
    with pytest.raises(UserError, match="cannot be read"):
        fingerprint({"users": folder})


def test_a_directory_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = os.stat

    def stat(path: Any, **options: Any) -> Any:
        if str(path).endswith("closed/data"):
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, **options)

    monkeypatch.setattr(os, "stat", stat)
    with pytest.raises(UserError, match=r"closed/data cannot be read \(Permission denied\)"):
        events.source(tmp_path / "closed/data")


def test_an_unknown_id_is_shown_in_its_part(tmp_path: Path) -> None:
    columns = example()
    columns["interactions"]["user_id"] = [7, 1, 2, 3]
    parts(tmp_path, "interactions", arrow(columns))
    with pytest.raises(UserError) as caught:
        index(ENGINE, load(ENGINE, events.source(tmp_path)), SplitConfig())
    place = tmp_path / "interactions" / "user_id=1" / "part-0.parquet"
    assert f"the first being 1 in {place}, column 'user_id', row 0," in str(caught.value)


def test_two_forms_of_a_table(tmp_path: Path) -> None:
    write(tmp_path, arrow(example()))
    (tmp_path / "users.csv").touch()
    with pytest.raises(UserError, match="are both there: keep one"):
        events.source(tmp_path)


@pytest.mark.parametrize("library", ["dict", "pyarrow", "pandas", "polars", "duckdb"])
def test_frames(library: str) -> None:
    columns: dict[str, Any] = {"user_id": np.array([1, 2]), "country": ["FR", None]}
    frame: Any = columns
    if library == "pyarrow":
        frame = pa.record_batch(pa.table(columns).to_batches()[0].columns, ["user_id", "country"])
    elif library == "duckdb":
        source = pa.table(columns)
        frame = pytest.importorskip("duckdb").from_arrow(source)
    elif library != "dict":
        frame = pytest.importorskip(library).DataFrame(columns)
    table = to_arrow("users", frame)
    assert table["user_id"].to_pylist() == [1, 2]
    assert table["country"].to_pylist() == ["FR", None]


class Silent:
    """A frame that fails without a word."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise ValueError


def test_frames_that_are_refused() -> None:
    with pytest.raises(UserError, match="users is of the type int"):
        to_arrow("users", 7)
    with pytest.raises(UserError, match="of equal length"):
        to_arrow("users", {"user_id": [1], "age": [1, 2]})
    with pytest.raises(UserError, match="integers within int64"):
        to_arrow("users", {"user_id": [2**63]})
    with pytest.raises(UserError, match=r"\(ValueError\)"):
        to_arrow("users", Silent())
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"user_id": [1], "age": [3]}).set_index("user_id")
    with pytest.raises(UserError, match=r"is the frame's index.*reset_index"):
        to_arrow("users", frame)
