"""Events to matrices: against dicts and dense NumPy."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.errors import UserError
from tests.worlds import dense, sparse, sparse_rows, stored, types

INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def tables(draw: st.DrawFn, most_columns: int = 70) -> HostArray:
    """Small dense matrices of counts with empty rows, ties and odd widths."""
    shape = (draw(st.integers(1, 9)), draw(st.integers(1, most_columns)))
    seed = draw(st.integers(0, 2**32 - 1))
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    random = np.random.default_rng(seed)
    return (random.integers(1, 4, shape) * (random.random(shape) < share)).astype(np.float32)


# -- choosing and moving ---------------------------------------------------------------------------


def test_engine_names() -> None:
    assert choose("cpu")[0].name == "cpu"
    with pytest.raises(UserError, match="use auto, cpu or cuda"):
        choose("tpu")


def test_arrays_survive_the_way_there_and_back(engine: Engine) -> None:
    for host in (np.arange(7, dtype=np.int64), np.zeros((0, 3), np.float32)):
        back = engine.to_host(engine.asarray(host))
        assert back.dtype == host.dtype
        assert_array_equal(back, host)


def test_torch_shares_memory(engine: Engine) -> None:
    array = engine.asarray(np.zeros((3, 4), np.float32))
    tensor = engine.to_torch(array)
    tensor[1, 2] = 5.0
    assert engine.to_host(array)[1, 2] == 5.0
    again = engine.from_torch(tensor)
    tensor[0, 0] = 7.0
    assert engine.to_host(again)[0, 0] == 7.0


# -- lookup ----------------------------------------------------------------------------------------


@given(ids=st.lists(INT64, max_size=40), keys=st.sets(INT64, max_size=40), data=st.data())
def test_lookup(engine: Engine, ids: list[int], keys: set[int], data: st.DataObject) -> None:
    ascending = sorted(keys)
    if ascending:
        ids = ids + data.draw(st.lists(st.sampled_from(ascending), max_size=40))
    found = engine.to_host(
        engine.lookup(
            engine.asarray(np.array(ids, np.int64)), engine.asarray(np.array(ascending, np.int64))
        )
    )
    place = {key: i for i, key in enumerate(ascending)}
    assert found.dtype == np.int32
    assert found.tolist() == [place.get(number, -1) for number in ids]


# -- csr, transpose, product, take_rows ------------------------------------------------------------


@given(
    entries=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 33), st.integers(1, 9)), max_size=80
    )
)
def test_csr_adds_what_meets(engine: Engine, entries: list[tuple[int, int, int]]) -> None:
    wanted: dict[tuple[int, int], int] = {}
    for row, column, value in entries:
        wanted[row, column] = wanted.get((row, column), 0) + value
    rows, columns, values = np.array(entries, np.int64).reshape(-1, 3).T
    matrix = engine.csr(
        engine.asarray(rows.astype(np.int32)),
        engine.asarray(columns),
        engine.asarray(values.astype(np.float32)),
        (7, 35),
    )
    assert matrix.shape == (7, 35)
    found = sparse_rows(matrix, engine)
    assert {(r, c): v for r, row in enumerate(found) for c, v in row.items()} == wanted


def test_csr_keeps_its_arguments(engine: Engine) -> None:
    rows, columns = np.array([1, 0, 1, 1], np.int32), np.array([2, 1, 0, 2], np.int32)
    values = np.array([1, 2, 3, 4], np.float32)
    arrays = [engine.asarray(part.copy()) for part in (rows, columns, values)]
    engine.csr(arrays[0], arrays[1], arrays[2], (2, 3))
    for array, before in zip(arrays, (rows, columns, values), strict=True):
        assert_array_equal(engine.to_host(array), before)


@given(table=tables())
def test_transpose(engine: Engine, table: HostArray) -> None:
    turned = engine.transpose(sparse(engine, table))
    assert turned.shape == (table.shape[1], table.shape[0])
    assert_array_equal(dense(engine, turned), table.T)
    assert turned.nnz == (table != 0).sum()


@given(left=tables(), seed=st.integers(0, 99), width=st.integers(1, 40))
def test_product(engine: Engine, left: HostArray, seed: int, width: int) -> None:
    random = np.random.default_rng(seed)
    shape = (left.shape[1], width)
    right = (random.integers(1, 4, shape) * (random.random(shape) < 0.3)).astype(np.float32)
    found = engine.product(sparse(engine, left), sparse(engine, right))
    wanted = np.zeros((len(left), width))
    for i in range(len(left)):
        for j in np.flatnonzero(left[i]):
            wanted[i] += float(left[i, j]) * right[j]
    assert found.shape == wanted.shape
    assert_array_equal(dense(engine, found), wanted)
    assert_array_equal(stored(engine, found), wanted > 0)


@given(table=tables(), data=st.data())
def test_take_rows(engine: Engine, table: HostArray, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(table) - 1), max_size=12))
    picked = np.array(rows, np.int64)
    found = engine.take_rows(sparse(engine, table), engine.asarray(picked))
    assert_array_equal(dense(engine, found), table[picked])


# -- row_top ---------------------------------------------------------------------------------------


def naive_row_top(row: dict[int, float], n_columns: int, depth: int) -> list[tuple[int, float]]:
    """Rank a row's entries by value, then column; then the columns it lacks, at 0."""
    ranked = sorted(row.items(), key=lambda item: (-item[1], item[0]))
    rest = [(column, 0.0) for column in range(n_columns) if column not in row]
    return (ranked + rest)[:depth]


@given(table=tables(), data=st.data())
def test_row_top(engine: Engine, table: HostArray, data: st.DataObject) -> None:
    n_columns = table.shape[1]
    depth = data.draw(st.sampled_from([1, (n_columns + 1) // 2, n_columns]))
    columns, values = (
        engine.to_host(part) for part in engine.row_top(sparse(engine, table), depth)
    )
    assert types(columns, values) == ["int32", "float32"]
    for i, row in enumerate(table):
        held = {int(c): float(row[c]) for c in np.flatnonzero(row)}
        wanted = naive_row_top(held, n_columns, depth)
        assert list(zip(columns[i].tolist(), values[i].tolist(), strict=True)) == wanted


def test_row_top_orders_values_of_all_sizes(engine: Engine) -> None:
    row = np.array([[1e-30, 3e38, 1.0, 1.0 + 2**-23, 7.5, 1e-30, 1.0]], np.float32)
    columns, values = engine.row_top(sparse(engine, row), 7)
    assert engine.to_host(columns)[0].tolist() == [1, 4, 3, 2, 6, 0, 5]
    assert_array_equal(engine.to_host(values)[0], row[0, [1, 4, 3, 2, 6, 0, 5]])


def test_row_top_is_of_positive_entries(engine: Engine) -> None:
    matrix = sparse(engine, [[-1.0, 2.0, 0.0, 3.0, -7.0, 0.5]], holes=np.inf)
    assert matrix.nnz == 6
    columns, values = engine.row_top(matrix, 3)
    assert engine.to_host(columns).tolist() == [[3, 1, 5]]
    assert engine.to_host(values).tolist() == [[3.0, 2.0, 0.5]]
    none = sparse(engine, [[-1.0, -2.0, -1.0, -3.0, -7.0, -0.5]])
    columns, values = engine.row_top(none, 1)
    assert engine.to_host(columns).tolist() == [[0]]
    assert engine.to_host(values).tolist() == [[0.0]]


@pytest.mark.parametrize("depth", [1, 120, 1025])  # some values are there about a hundred times
def test_row_top_of_one_huge_row_among_empty_ones(engine: Engine, depth: int) -> None:
    table = np.zeros((5, 5000), np.float32)
    table[2] = np.random.default_rng(0).integers(1, 50, 5000)
    found = engine.row_top(sparse(engine, table), depth)
    columns, values = map(engine.to_host, found)
    order = sorted(range(5000), key=lambda column: (-table[2, column], column))[:depth]
    assert columns[2].tolist() == order
    assert_array_equal(values[2], table[2, order])
    for empty in (0, 1, 3, 4):
        assert columns[empty].tolist() == list(range(depth))
        assert not values[empty].any()


def test_row_top_of_many_rows_and_columns(engine: Engine) -> None:
    n_rows, n_columns = 5000, 2**20 + 3  # too many for one sort key of 64 bits
    random = np.random.default_rng(1)
    rows = np.repeat(np.arange(n_rows), 3)[:-1]
    columns = random.integers(0, n_columns, len(rows))
    values = random.integers(1, 4, len(rows)).astype(np.float32)
    matrix = engine.csr(
        engine.asarray(rows), engine.asarray(columns), engine.asarray(values), (n_rows, n_columns)
    )
    found, scores = (engine.to_host(part) for part in engine.row_top(matrix, 4))
    held: list[dict[int, float]] = [{} for _ in range(n_rows)]
    for row, column, value in zip(rows, columns.tolist(), values.tolist(), strict=True):
        held[row][column] = held[row].get(column, 0.0) + value
    for i in range(n_rows):
        wanted = naive_row_top(held[i], 10, 4)
        assert list(zip(found[i].tolist(), scores[i].tolist(), strict=True)) == wanted


def test_row_top_refuses_a_depth_it_cannot_fill(engine: Engine) -> None:
    with pytest.raises(ValueError, match="exceeds"):
        engine.row_top(sparse(engine, np.ones((2, 3))), 4)


# -- read ------------------------------------------------------------------------------------------


def as_table(as_file: bool, table: pa.Table, directory: Path) -> Path | pa.Table:
    if not as_file:
        return table
    path = directory / "some.parquet"
    pq.write_table(table, path, row_group_size=2)
    return path


@pytest.mark.parametrize("as_file", [True, False], ids=["file", "arrow"])
def test_read(engine: Engine, tmp_path: Path, as_file: bool) -> None:
    moment = datetime(2020, 11, 2, 10, 30, 0, 123456, tzinfo=UTC)
    table = pa.table(
        {
            "number": pa.array([5, None, -(2**62)], pa.int64()),
            "small": pa.array([1, 2, 3], pa.int8()),
            "when": pa.array([moment, None, moment], pa.timestamp("ns", "Asia/Taipei")),
            "word": pa.array(["b", None, "a"]),
            "other": pa.array(["b", "c", "b"]),
        }
    )
    read = engine.read(as_table(as_file, table, tmp_path), ["word", "number", "small", "when"])
    assert list(read) == ["word", "number", "small", "when"]

    def host(name: str) -> tuple[HostArray, list[bool] | None]:
        column = read[name]
        valid = None if column.valid is None else engine.to_host(column.valid).tolist()
        return engine.to_host(column.values), valid

    numbers, valid = host("number")
    assert valid == [True, False, True]
    assert numbers.dtype == np.int64
    assert numbers[[0, 2]].tolist() == [5, -(2**62)]
    small, valid = host("small")
    assert valid is None
    assert small.dtype == np.int64
    assert small.tolist() == [1, 2, 3]
    moments, valid = host("when")
    assert valid == [True, False, True]
    assert moments[[0, 2]].tolist() == [int(moment.timestamp()) * 10**6 + 123456] * 2
    words, valid = host("word")
    assert valid == [True, False, True]
    assert words.dtype == np.int32
    assert [read["word"].names[code] for code in words[[0, 2]]] == ["b", "a"]
    assert read["word"].names == ("a", "b")


@given(
    words=st.lists(st.one_of(st.none(), st.text("ab é", max_size=3)), max_size=20),
    coded=st.booleans(),
)
def test_read_strings(engine: Engine, words: list[str | None], coded: bool) -> None:
    array: Any = pa.array(words, pa.string())
    column = engine.read(pa.table({"x": array.dictionary_encode() if coded else array}), ["x"])["x"]
    codes = engine.to_host(column.values)
    valid = [True] * len(words) if column.valid is None else engine.to_host(column.valid).tolist()
    assert column.names == tuple(sorted({word for word in words if word is not None}))
    found = [column.names[c] if ok else None for c, ok in zip(codes, valid, strict=True)]
    assert found == words


def test_read_names_a_damaged_file(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "users.parquet"
    pq.write_table(pa.table({"x": np.arange(5000)}), path, compression="zstd")
    content = bytearray(path.read_bytes())
    content[4:40] = b"\xff" * 36  # the header of the first page
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"users\.parquet"):
        engine.read(path, ["x"])
