"""Small copies of the public release of the paper's data, good ones and bad ones."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.data.signals import BLOCKS, SCALARS
from gpu_coldstart.datasets.deezer.release import PARTS, SHORT, Release, open_release
from gpu_coldstart.errors import UserError

DIMENSIONS = {"tt-svd": 3, "ut-als": 5}
SPACES = tuple(DIMENSIONS)
IDS = {"train": [3, 10, 11, 40, 41, 77], "validation": [5, 6, 900], "test": [12, 2**40]}
SONGS = [2, 4, 5, 30, 31, 32, 1000, 2**33]

Tables = dict[str, Any]
"""The Arrow table of each file, by name without ``.parquet``."""


# -- a small release -------------------------------------------------------------------------------


def lists(rows: npt.NDArray[Any]) -> Any:
    return pa.array(list(rows), pa.list_(pa.from_numpy_dtype(rows.dtype)))


def example() -> Tables:
    """A release in order, of a few users and songs, with every column."""
    draw = np.random.default_rng(0)

    def vectors(n: int, space: str) -> npt.NDArray[Any]:
        return draw.normal(size=(n, DIMENSIONS[space])).astype(np.float32)

    tables = {
        "song_embeddings": pa.table(
            {
                "song_index": SONGS,
                **{f"features_{SHORT[s]}": lists(vectors(len(SONGS), s)) for s in SPACES},
            }
        ),
        "user_embeddings": pa.table(
            {
                "user_index": IDS["train"],
                **{f"{SHORT[s]}_embeddings": lists(vectors(6, s)) for s in SPACES},
            }
        ),
    }
    for part, ids in IDS.items():
        heard = [sorted(draw.choice(SONGS, 1 + i, replace=False).tolist()) for i in range(len(ids))]
        scalars = {name: draw.integers(0, 4, len(ids)).astype(np.float32) for name in SCALARS}
        for space in SPACES:
            columns: dict[str, Any] = {"user_index": ids, "d1d30_songs": heard}
            for block in BLOCKS:
                block_of_all = vectors(len(ids), space)
                for i in range(DIMENSIONS[space]):
                    columns[f"{block}_embedding{i}"] = block_of_all[:, i]
            tables[f"user_features_{part}_{SHORT[space]}"] = pa.table(columns | scalars)
    return tables


EXAMPLE = example()


def write(directory: Path, tables: Mapping[str, Any], **options: Any) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        path = directory / f"{name}.parquet"
        if table is EXAMPLE[name] and not options:
            path.write_bytes(_example_bytes(name))
        else:
            pq.write_table(table, path, **options)
    return directory


@functools.cache
def _example_bytes(name: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(EXAMPLE[name], sink)
    return sink.getvalue()


ID = {name: "song_index" if name == "song_embeddings" else "user_index" for name in EXAMPLE}


def naive(tables: Tables, space: str, part: str) -> dict[int, tuple[list[float], list[int]]]:
    """Input vector and known songs of each user, cell by cell."""
    known = set(tables["song_embeddings"].column("song_index").to_pylist())
    found = {}
    for row in tables[f"user_features_{part}_{SHORT[space]}"].to_pylist():
        vector = [
            row[f"{block}_embedding{i}"] for block in BLOCKS for i in range(DIMENSIONS[space])
        ]
        vector += [
            0.0 if row[name] is None or row[name] != row[name] else row[name] for name in SCALARS
        ]
        songs = sorted({int(song) for song in row["d1d30_songs"]} & known)
        if songs or part == "train":
            found[int(row["user_index"])] = vector, songs
    return dict(sorted(found.items()))


Everything = dict[str, npt.NDArray[Any]]


def everything(release: Release, spaces: tuple[str, ...] = SPACES) -> Everything:
    """All that the reader gives, by a name of its own."""
    found: Everything = {}
    for space in spaces:
        for what, points in (("songs", release.songs(space)), ("users", release.warm_users(space))):
            found |= {f"{space} {what} {key}": value for key, value in vars(points).items()}
        for part in PARTS:
            features = release.features(space, part)
            found |= {f"{space} {part} {key}": value for key, value in vars(features).items()}
    return found


def same(one: Everything, other: Everything) -> bool:
    return one.keys() == other.keys() and all(
        one[key].dtype == other[key].dtype and np.array_equal(one[key], other[key]) for key in one
    )


def opened(directory: Path, tables: Mapping[str, Any], spaces: tuple[str, ...] = SPACES) -> Release:
    return open_release(write(directory, tables), spaces)


def notes_of(release: Release) -> tuple[str, ...]:
    """What was left out of all features read so far, space by space."""
    return tuple(note for space in release.dimensions for note in release.notes_of(space))


def message(directory: Path, spaces: tuple[str, ...] = SPACES) -> str:
    """What is said of a bad copy, on opening or on reading it."""
    with pytest.raises(UserError) as caught:
        everything(open_release(directory, spaces), spaces)
    text = str(caught.value)
    assert "\n" not in text
    return text


def changed(table: Any, column: str, change: Callable[[list[Any]], Any], dtype: Any = None) -> Any:
    """The table with a column made anew out of its list of values."""
    made = change(table.column(column).to_pylist())
    array = made if isinstance(made, pa.Array) else pa.array(made, dtype)
    return table.set_column(table.column_names.index(column), column, array)


def put(row: int, value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda values: [*values[:row], value, *values[row + 1 :]]


def heard(part: str, songs: list[list[int]], **others: Any) -> Tables:
    """The example in which the users of a part heard other songs."""
    tables = dict(EXAMPLE, **others)
    for short in SHORT.values():
        name = f"user_features_{part}_{short}"
        tables[name] = changed(EXAMPLE[name], "d1d30_songs", lambda _: songs, pa.list_(pa.int64()))
    return tables


def cell(name: str, column: str, row: int, value: Any, dtype: Any = None) -> Tables:
    """The example with one cell replaced."""
    return dict(EXAMPLE, **{name: changed(EXAMPLE[name], column, put(row, value), dtype)})


# -- in whatever form ------------------------------------------------------------------------------


def shuffled(table: Any, draw: np.random.Generator) -> Any:
    rows, columns = draw.permutation(table.num_rows), draw.permutation(table.num_columns)
    return table.take(rows).select(columns.tolist())


def every_list(form: Callable[[list[Any]], Any], dtype: Any = None) -> Callable[[Any], Any]:
    """Each column of lists made anew of its lists."""

    def change(table: Any) -> Any:
        for field in table.schema:
            if pa.types.is_list(field.type):
                table = changed(table, field.name, lambda rows: [form(row) for row in rows], dtype)
        return table

    return change


def every_number(dtype: Any) -> Callable[[Any], Any]:
    """Each column of floats cast."""

    def change(table: Any) -> Any:
        fields = [
            field.with_type(dtype) if pa.types.is_floating(field.type) else field
            for field in table.schema
        ]
        return table.cast(pa.schema(fields))

    return change


def fixed_size(table: Any) -> Any:
    """The embeddings as lists of fixed size."""
    for field in table.schema:
        if pa.types.is_list(field.type) and field.name != "d1d30_songs":
            size = len(table.column(field.name)[0])
            table = changed(table, field.name, list, pa.list_(pa.float64(), size))
    return table


def scalars_as(dtype: Any) -> Callable[[Any], Any]:
    def change(table: Any) -> Any:
        for name in set(SCALARS) & set(table.column_names):
            table = changed(table, name, list, dtype)
        return table

    return change


def ids_as(dtype: Any) -> Callable[[Any], Any]:
    def change(table: Any) -> Any:
        name = "song_index" if "song_index" in table.column_names else "user_index"
        return changed(table, name, list, dtype)

    return change


def zeros_as(value: float | None) -> Callable[[Any], Any]:
    """Every count of zero as NaN, or as null."""

    def filled(cells: list[Any]) -> list[Any]:
        return [cell or value for cell in cells]

    def change(table: Any) -> Any:
        for name in [name for name in table.column_names if name.startswith("nb_")]:
            table = changed(table, name, filled, pa.float64())
        return table

    return change


def with_more_columns(table: Any) -> Any:
    more = pa.array(["?"] * table.num_rows)
    return table.append_column("__index_level_0__", more).append_column("age_embedding_mean", more)


def numpy_text(row: list[Any]) -> str:
    """As NumPy prints an array, over several lines."""
    return np.array2string(np.array(row), max_line_width=20, threshold=10**6, floatmode="unique")


FORMS: dict[str, Callable[[Any], Any]] = {
    "lists of float64": every_list(list, pa.list_(pa.float64())),
    "large lists": every_list(list, pa.large_list(pa.float64())),
    "lists of fixed size": fixed_size,
    "text as pandas prints it": every_list(str),
    "text as NumPy prints it": every_list(numpy_text),
    "text in one line": every_list(lambda row: numpy_text(row).replace("\n", "")),
    "large text": every_list(str, pa.large_string()),
    "bytes": every_list(lambda row: str(row).encode(), pa.binary()),
    "json": every_list(str, pa.json_()),
    "numbers as float64": every_number(pa.float64()),
    "scalars as int16": scalars_as(pa.int16()),
    "ids as float64": ids_as(pa.float64()),
    "ids as uint64": ids_as(pa.uint64()),
    "NaN for 0": zeros_as(float("nan")),
    "null for 0": zeros_as(None),
    "more columns": with_more_columns,
}
