"""Mutations of tables that must not change a single recommendation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from gpu_coldstart.data.contract import ID, INTEGER, SCHEMAS, STRING, TIME
from tests.fuzz.data import Data, declared
from tests.fuzz.runner import HARMLESS, Random, one_of
from tests.runs.helpers import with_column

RENAMED = {
    "user": ("users.user_id", "interactions.user_id", "playlists.user_id"),
    "track": ("tracks.track_id", "interactions.entity_id", "playlists.track_id"),
}


def some_table(random: Random, data: Data) -> str:
    return str(one_of(random, sorted(data.tables)))


def columns_of(data: Data, *kinds: object) -> list[tuple[str, str]]:
    """Table and column of every column of some kinds that is there."""
    return [
        (name, rule.name)
        for name in data.tables
        for rule in SCHEMAS[name]
        if rule.kind in kinds and rule.name in data.tables[name].column_names
    ]


@declared(HARMLESS)
def another_order(random: Random, data: Data) -> Data:
    name = some_table(random, data)
    table = data.tables[name]
    return data.with_table(name, table.take(random.permutation(table.num_rows)))


@declared(HARMLESS)
def columns_in_another_order(random: Random, data: Data) -> Data:
    name = some_table(random, data)
    names = data.tables[name].column_names
    return data.with_table(
        name, data.tables[name].select([names[i] for i in random.permutation(len(names))])
    )


@declared(HARMLESS)
def another_integer_type(random: Random, data: Data) -> Data:
    name, column = one_of(random, columns_of(data, INTEGER, ID))
    values = data.tables[name][column]
    nullable = {rule.name: rule.nullable for rule in SCHEMAS[name]}[column]
    kinds = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "decimal"]
    kind = one_of(random, [*kinds, "double", "float"] if nullable else kinds)
    dtype = pa.decimal128(38, 0) if kind == "decimal" else pa.type_for_alias(kind)
    return data.with_table(name, with_column(data.tables[name], column, values.cast(dtype)))


@declared(HARMLESS)
def another_string_type(random: Random, data: Data) -> Data:
    name, column = one_of(random, columns_of(data, STRING))
    values = data.tables[name][column].cast(pa.string())
    kind = one_of(random, ["large", "view", "dictionary", "small dictionary"])
    if kind == "dictionary":
        made = values.dictionary_encode()
    elif kind == "small dictionary":
        made = values.cast(pa.dictionary(pa.int16(), pa.large_string()))
    else:
        made = values.cast(pa.large_string() if kind == "large" else pa.string_view())
    return data.with_table(name, with_column(data.tables[name], column, made))


@declared(HARMLESS)
def another_time_type(random: Random, data: Data) -> Data:
    name, column = one_of(random, columns_of(data, TIME))
    values = data.tables[name][column]
    kind = one_of(random, ["s", "ms", "us", "ns", "date32", "date64"])
    zone = one_of(random, [None, "UTC", "America/New_York", "Asia/Kolkata", "+05:30"])
    if kind.startswith("date"):
        # The calendar day is the one in UTC, whatever the zone before.
        naive = values.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
        made = naive.cast(pa.date32()).cast(pa.type_for_alias(kind))
    else:
        made = (
            values.cast(pa.timestamp("us")).cast(pa.timestamp(kind))
            if zone is None
            else (values.cast(pa.timestamp(kind)).cast(pa.timestamp(kind, zone)))
        )
    return data.with_table(name, with_column(data.tables[name], column, made))


@declared(HARMLESS)
def more_columns(random: Random, data: Data) -> Data:
    name = some_table(random, data)
    n = data.tables[name].num_rows
    columns: list[Any] = [
        pa.array([None] * n),
        pa.array(random.normal(size=n)),
        pa.array([[1, 2]] * n),
        pa.array([{"a": "x"}] * n),
        pa.array([b"\xff"] * n) if data.forms[name].kind != "csv" else pa.array(["é"] * n),
        pa.array(['\n,";'] * n),
    ]
    called = one_of(random, ["extra", "", "Users", "usér", "user_id ", "USER_ID", "a.b", "%"])
    return data.with_table(name, with_column(data.tables[name], called, one_of(random, columns)))


@declared(HARMLESS)
def many_chunks(random: Random, data: Data) -> Data:
    name = some_table(random, data)
    table = data.tables[name]
    edge = int(random.integers(table.num_rows + 1))
    return data.with_table(name, pa.concat_tables([table.slice(0, edge), table.slice(edge)]))


@declared(HARMLESS)
def events_of_strangers(random: Random, data: Data) -> Data:
    """By users or on tracks that no table has, fewer than half of all."""
    table = data.tables["interactions"]
    column = str(one_of(random, ["user_id", "entity_id"]))
    ids = table.schema.field(column).type
    if not (pa.types.is_int64(ids) or pa.types.is_string(ids)):
        return data  # the strangers' ids might not fit
    some = table.take(random.integers(table.num_rows, size=table.num_rows // 4))
    strangers = pa.array(10**15 + np.arange(some.num_rows)).cast(ids)
    if column == "entity_id":
        kinds = pa.array(["track"] * some.num_rows, pa.string())
        some = with_column(some, "entity", kinds.cast(table.schema.field("entity").type))
    some = with_column(some, column, strangers)
    return data.with_table("interactions", pa.concat_tables([table, some]))


@declared(HARMLESS)
def counts_as_rows(random: Random, data: Data) -> Data:
    """A row that counts n times is n rows that count once."""
    table = data.tables["interactions"]
    if "count" not in table.column_names:
        return data
    counts = np.array([int(count) for count in table["count"].to_pylist()])
    rows = np.repeat(np.arange(len(counts)), counts)
    table = table.take(rows).drop_columns(["count"])
    return data.with_table("interactions", table)


@declared(HARMLESS)
def ids_as_ordered_strings(random: Random, data: Data) -> Data:
    return _renamed(random, data, lambda rank: f"é{rank:05d}")


@declared(HARMLESS)
def other_ids_in_order(random: Random, data: Data) -> Data:
    step, start = int(random.integers(1, 10**6)), int(random.integers(-(10**12), 10**12))
    return _renamed(random, data, lambda rank: start + step * rank)


def _renamed(random: Random, data: Data, name: Any) -> Data:
    kind = str(one_of(random, sorted(RENAMED)))
    if data.renamed or not pa.types.is_int64(data.tables["users"].schema.field("user_id").type):
        return data  # once is enough, and exact types matter below
    owner, column = RENAMED[kind][0].split(".")
    ids = sorted(data.tables[owner][column].to_pylist())
    new = {old: name(rank) for rank, old in enumerate(ids)}
    for place in RENAMED[kind]:
        table, column = place.split(".")
        if table in data.tables and column in data.tables[table].column_names:
            data = data.with_table(table, _with_ids(data.tables[table], column, new, kind))
    return replace(data, renamed={kind: {value: key for key, value in new.items()}})


def _with_ids(table: pa.Table, column: str, new: dict[Any, Any], kind: str) -> pa.Table:
    text = isinstance(next(iter(new.values())), str)
    kinds = table["entity"].to_pylist() if column == "entity_id" else [kind] * table.num_rows
    values = []
    for old, entity in zip(table[column].to_pylist(), kinds, strict=True):
        whole = None if old is None else int(old)
        if entity == kind and whole is not None:
            # One that nobody knows becomes another that nobody knows.
            whole = new.get(whole, "nobody" if text else -(2**60))
        values.append(None if whole is None else str(whole) if text else whole)
    dtype = pa.string() if text else pa.int64()
    return with_column(table, column, pa.array(values, dtype))


# -- how tables are written ------------------------------------------------------------------------


@declared(HARMLESS)
def another_parquet(random: Random, data: Data) -> Data:
    options = {
        "row_group_size": one_of(random, [1, 3, 100, 10**6]),
        "compression": one_of(random, ["none", "snappy", "gzip", "zstd", "lz4", "brotli"]),
        "version": one_of(random, ["1.0", "2.4", "2.6"]),
        "data_page_version": one_of(random, ["1.0", "2.0"]),
        "use_dictionary": one_of(random, [True, False]),
        "write_page_checksum": one_of(random, [True, False]),
        "write_statistics": one_of(random, [True, False]),
        "store_schema": one_of(random, [True, True, False]),
        "use_deprecated_int96_timestamps": one_of(random, [False, False, True]),
    }
    return data.with_form(some_table(random, data), kind="parquet", options=options)


@declared(HARMLESS)
def csv(random: Random, data: Data) -> Data:
    return data.with_form(some_table(random, data), kind="csv")


@declared(HARMLESS)
def part_files(random: Random, data: Data) -> Data:
    name = some_table(random, data)
    n = data.tables[name].num_rows
    edges = sorted(int(edge) for edge in random.integers(1, max(n, 2), size=random.integers(1, 3)))
    return data.with_form(name, parts=tuple(edges))


@declared(HARMLESS)
def hidden_files(random: Random, data: Data) -> Data:
    """What Spark and others leave beside data."""
    name = one_of(random, [".users.parquet.crc", "_SUCCESS", "README.txt", "notes.parquet"])
    return replace(data, later=(*data.later, lambda place: _touch(place / str(name))))


def _touch(path: Any) -> None:
    path.write_bytes(b"x")
