"""Mutations of tables that must be refused, and those of which nobody knows beforehand."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_coldstart.data.contract import ID, INTEGER, REQUIRED, SCHEMAS, STRING, TIME
from tests.fuzz.data import Data, Form, declared
from tests.fuzz.harmless import columns_of, some_table
from tests.fuzz.runner import HARMFUL, UNKNOWN, Random, one_of, some_of
from tests.runs.helpers import with_column

RULES = {(name, rule.name): rule for name, rules in SCHEMAS.items() for rule in rules}


def put(table: pa.Table, column: str, rows: list[int], cell: Any) -> pa.Table:
    """The table with a value in some rows of a column, whose type changes if it must."""
    values = table[column].to_pylist()
    for row in rows:
        values[row] = cell
    kind = table.schema.field(column).type
    if pa.types.is_date(kind):
        values = [each.date() if isinstance(each, datetime) else each for each in values]
    try:
        array = pa.array(values, kind)
    except (pa.ArrowInvalid, TypeError, OverflowError):
        wide = {INTEGER: pa.int64(), STRING: pa.string(), TIME: pa.timestamp("us", "UTC")}
        dtype = next((wide[k] for k in wide if k.accepts(kind)), pa.string())
        array = pa.array(values, dtype)
    return with_column(table, column, array)


def spoil(random: Random, data: Data, choices: list[tuple[str, str]], cells: list[Any]) -> Data:
    """Put one of the cells into a few rows of a column (if one is there); blame the first."""
    present = [each for each in choices if each in columns_of(data, *ALL)]
    if not present:
        return data
    name, column = one_of(random, present)
    table = data.tables[name]
    rows = sorted({int(row) for row in random.integers(table.num_rows, size=random.integers(1, 4))})
    cell = one_of(random, cells)
    return data.with_table(name, put(table, column, rows, cell)).blaming(name, column, rows[0])


ALL = (ID, INTEGER, STRING, TIME)


@declared(HARMFUL)
def a_null(random: Random, data: Data) -> Data:
    return spoil(random, data, [key for key, rule in RULES.items() if not rule.nullable], [None])


@declared(HARMFUL)
def an_id_twice(random: Random, data: Data) -> Data:
    name, column = one_of(random, [("users", "user_id"), ("tracks", "track_id")])
    table = data.tables[name]
    one, other = sorted(random.permutation(table.num_rows)[:2].tolist())
    cell = table[column].to_pylist()[one]
    return data.with_table(name, put(table, column, [other], cell)).blaming(name, column, other)


@declared(HARMFUL)
def a_count_below_one(random: Random, data: Data) -> Data:
    return spoil(random, data, [("interactions", "count")], [0, -1, -(2**31), -(2**63)])


@declared(HARMFUL)
def an_impossible_age(random: Random, data: Data) -> Data:
    return spoil(random, data, [("users", "age")], [-1, 131, 2**31, 2**63 - 1, -(2**63)])


@declared(HARMFUL)
def an_impossible_year(random: Random, data: Data) -> Data:
    places = [key for key, rule in RULES.items() if rule.kind is TIME]
    years = [1700, 1969, 1970, 1989, 2101, 2200]
    return spoil(random, data, places, [datetime(year, 6, 1, tzinfo=UTC) for year in years])


@declared(HARMFUL)
def an_unknown_word(random: Random, data: Data) -> Data:
    places = [key for key, rule in RULES.items() if rule.choices]
    words = ["listen", "Stream", "stream ", "é", "streams", "-", "train", "nan", "x" * 5000]
    return spoil(random, data, places, words)


@declared(HARMFUL)
def spoiled_sound(random: Random, data: Data) -> Data:
    """A table of sound, of which a list is none or of another length or has what is no number."""
    tracks = data.tables.get("tracks")
    if tracks is None or "track_id" not in tracks.column_names:
        return data
    row = int(random.integers(tracks.num_rows))
    places: list[Any] = random.normal(size=(tracks.num_rows, 3)).tolist()
    places[row] = one_of(random, [None, [], [1.0], [1.0] * 4, [0, 1, None], [0, float("inf"), 1]])
    kind = one_of(random, [pa.list_(pa.float32()), pa.large_list(pa.float64())])
    table = pa.table({"track_id": tracks["track_id"], "embedding": pa.array(places, kind)})
    wrong = 1 if row == 0 and places[0] and len(places[0]) != 3 else row  # told by the first
    data = replace(data, forms={**data.forms, "sound": Form()})
    return data.with_table("sound", table).blaming("sound", "embedding", wrong)


@declared(HARMFUL)
def another_type(random: Random, data: Data) -> Data:
    name, column = one_of(random, columns_of(data, *ALL))
    kind = RULES[name, column].kind
    n = data.tables[name].num_rows
    wrong: list[Any] = [pa.array([True] * n), pa.array([[1]] * n), pa.array([{"a": 1}] * n)]
    if kind is TIME:
        wrong += [pa.array(range(n)), pa.array(["2020-03-02"] * n)]
    if kind in (INTEGER, TIME, ID):
        wrong.append(pa.array([timedelta(1)] * n))
    if kind is STRING:
        wrong += [pa.array(range(n)), pa.array([0.5] * n)]
    if kind is INTEGER:
        wrong.append(pa.array(["7"] * n))
    table = with_column(data.tables[name], column, one_of(random, wrong))
    return data.with_table(name, table).with_form(name, kind="parquet").blaming(name, column)


@declared(HARMFUL)
def text_for_a_number(random: Random, data: Data) -> Data:
    """In a CSV file, where everything is text."""
    places = [key for key, rule in RULES.items() if rule.kind in (INTEGER, TIME)]
    cells = ["x", " ", "1_0", "1.5", "1e3", "0x1", "٣", "nan", "9" * 40, "2020-13-01", "NULL"]
    name, column = one_of(random, [each for each in places if each in columns_of(data, *ALL)])
    table = data.tables[name]
    values = [None if v is None else _iso(v) for v in table[column].to_pylist()]
    row = int(random.integers(table.num_rows))
    values[row] = one_of(random, cells)
    table = with_column(table, column, pa.array(values, pa.string()))
    return data.with_table(name, table).with_form(name, kind="csv").blaming(name, column, row)


def _iso(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(int(value))


@declared(HARMFUL)
def a_column_less(random: Random, data: Data) -> Data:
    there = [key for key, rule in RULES.items() if rule.required and key[0] in data.tables]
    name, column = one_of(random, there)
    return data.with_table(name, data.tables[name].drop_columns([column])).blaming(name, column)


@declared(HARMFUL)
def a_column_twice(random: Random, data: Data) -> Data:
    name, column = one_of(random, columns_of(data, *ALL))
    table = data.tables[name]
    return data.with_table(name, table.append_column(column, table[column])).blaming(name, column)


@declared(HARMFUL)
def a_table_less(random: Random, data: Data) -> Data:
    name = str(one_of(random, REQUIRED))
    tables = {key: table for key, table in data.tables.items() if key != name}
    return replace(data, tables=tables).blaming(name)


@declared(HARMFUL)
def a_table_without_rows(random: Random, data: Data) -> Data:
    name = str(one_of(random, REQUIRED))
    data = data.with_form(name, parts=None)
    return data.with_table(name, data.tables[name].slice(0, 0)).blaming(name)


@declared(HARMFUL)
def a_table_in_two_forms(random: Random, data: Data) -> Data:
    name = some_table(random, data)
    forms = [Form(), Form("csv"), Form(parts=(1,))]
    mine = data.forms[name]
    other = one_of(
        random,
        [
            f
            for f in forms
            if (f.kind, f.parts is None) != (mine.kind, mine.parts is None)
            and (f.parts is None or mine.parts is None)
        ],
    )
    table = data.tables[name]
    return replace(data, later=(lambda place: other.write(table, place, name),)).blaming(name)


@declared(HARMFUL)
def ids_of_two_sorts(random: Random, data: Data) -> Data:
    """Users of one table are strings, those of the other integers."""
    table = data.tables["interactions"]
    if pa.types.is_integer(table.schema.field("user_id").type):
        cells = pa.array([f"u{value}" for value in table["user_id"].to_pylist()])
    else:
        cells = pa.array(range(table.num_rows))
    table = with_column(table, "user_id", cells)
    data = data.with_table("interactions", table).with_form("interactions", kind="parquet")
    return data.with_form("users", kind="parquet").blaming("interactions", "user_id")


def _where(data: Data, name: str, random: Random) -> Callable[[Path], Path]:
    """Where one of the files of a table will be."""
    form, row = data.forms[name], int(random.integers(data.tables[name].num_rows or 1))
    return lambda place: Path(form.place(place, name, row)[0])


@declared(HARMFUL)
def a_parquet_file_cut(random: Random, data: Data) -> Data:
    name, share = some_table(random, data), random.random()
    data = data.with_form(name, kind="parquet")
    where = _where(data, name, random)

    def cut(place: Path) -> None:
        path = where(place)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return replace(data, later=(cut,)).blaming(name)


@declared(HARMFUL)
def junk_for_a_file(random: Random, data: Data) -> Data:
    name = some_table(random, data)
    data = data.with_form(name, kind="parquet")
    where, noise = _where(data, name, random), random.bytes(200)
    junk = one_of(random, [b"", noise, b"PAR1" + noise + b"PAR1", b"user_id\n1\n", b"PAR1PAR1"])

    def change(place: Path) -> None:
        where(place).write_bytes(junk)

    return replace(data, later=(change,)).blaming(name)


@declared(HARMFUL)
def no_file(random: Random, data: Data) -> Data:
    """A link that leads nowhere or in a circle, or a directory."""
    name = some_table(random, data)
    where = _where(data, name, random)
    kind = one_of(random, ["nowhere", "circle", "directory", "pipe"])

    def change(place: Path) -> None:
        path = where(place)
        path.unlink()
        if kind == "nowhere":
            path.symlink_to(place / "nowhere")
        elif kind == "circle":
            path.symlink_to(path)
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.mkdir()

    parts = data.forms[name].parts
    if kind == "directory" and parts is not None:
        return data  # an empty folder among part files
    return replace(data, later=(change,)).blaming(name)


# -- of unknown effect -----------------------------------------------------------------------------

ODD: dict[Any, list[Any]] = {
    ID: [0, -1, 2**63 - 1, -(2**63), 10**15],
    INTEGER: [0, 1, 2**31, 2**53 + 1, 2**63 - 1, 130],
    STRING: ["", " ", "\x00", "\n", "é" * 3000, '"', "=1+1", "\u202e", "nan", "null", "FR"],
    TIME: [datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC)],
}


@declared(UNKNOWN)
def odd_cells(random: Random, data: Data) -> Data:
    name, column = one_of(random, columns_of(data, *ALL))
    table = data.tables[name]
    n = one_of(random, [1, 3, table.num_rows])
    rows = random.permutation(table.num_rows)[:n].tolist()
    cell = one_of(random, ODD[RULES[name, column].kind])
    if RULES[name, column].kind is ID and not pa.types.is_integer(table.schema.field(column).type):
        cell = str(cell)
    return data.with_table(name, put(table, column, rows, cell))


@declared(UNKNOWN)
def fewer_rows(random: Random, data: Data) -> Data:
    name = some_table(random, data)
    table, share = data.tables[name], one_of(random, [0.02, 0.3, 0.9])
    kept = random.random(table.num_rows) < share
    return data.with_form(name, parts=None).with_table(name, table.filter(pa.array(kept)))


@declared(UNKNOWN)
def rows_again(random: Random, data: Data) -> Data:
    name = one_of(random, ["interactions", "playlists"])
    table = data.tables[name]
    rows = random.integers(table.num_rows, size=table.num_rows // 2)
    return data.with_table(name, pa.concat_tables([table, table.take(rows)]))


@declared(UNKNOWN)
def a_shuffled_column(random: Random, data: Data) -> Data:
    name, column = one_of(random, columns_of(data, *ALL))
    table = data.tables[name]
    values = table[column].take(random.permutation(table.num_rows))
    return data.with_table(name, with_column(table, column, values))


@declared(UNKNOWN)
def one_value_for_all(random: Random, data: Data) -> Data:
    name, column = one_of(random, columns_of(data, *ALL))
    table = data.tables[name]
    rows = np.full(table.num_rows, random.integers(table.num_rows or 1))
    return data.with_table(name, with_column(table, column, table[column].take(rows)))


@declared(UNKNOWN)
def nothing_optional(random: Random, data: Data) -> Data:
    for name, column in some_of(random, [key for key, r in RULES.items() if not r.required], 1, 9):
        if column in data.tables[name].column_names:
            data = data.with_table(name, data.tables[name].drop_columns([column]))
    return data


@declared(UNKNOWN)
def other_times(random: Random, data: Data) -> Data:
    """All moments of a column by some days later or earlier, or spread."""
    name, column = one_of(random, columns_of(data, TIME))
    table = data.tables[name]
    days = one_of(random, [1, -1, 30, -400, 3000])
    spread = one_of(random, [0, 60])
    moved = [
        None if value is None else value + timedelta(days + int(random.integers(spread + 1)))
        for value in table[column].to_pylist()
    ]
    return data.with_table(name, with_column(table, column, pa.array(moved)))


@declared(UNKNOWN)
def no_playlists(random: Random, data: Data) -> Data:
    return replace(data, tables={n: t for n, t in data.tables.items() if n != "playlists"})


@declared(UNKNOWN)
def other_bytes(random: Random, data: Data) -> Data:
    """Flipped, lost or zeroed, without a checksum that would tell."""
    name = some_table(random, data)
    where, kind, share = _where(data, name, random), one_of(random, range(4)), random.random()
    byte = int(random.integers(1, 256))

    def change(place: Path) -> None:
        path = where(place)
        whole = bytearray(path.read_bytes())
        at = int(share * len(whole))
        if kind == 0:
            whole[at] ^= byte
        elif kind == 1:
            del whole[at : at + byte]
        elif kind == 2:
            whole[at : at + byte] = bytes(min(byte, len(whole) - at))
        else:
            whole[at:at] = bytes([byte]) * 3
        path.write_bytes(bytes(whole))

    return replace(data, later=(change,))
