"""Copies of the release changed at random: refused in one line, or read as if nothing was wrong.

Every change says which of the two it must be. Only bytes that change within a file may be
either: they may hit what nobody reads. The copies have checksums, as without them nothing tells
a changed number from a right one.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gpu_coldstart.datasets.deezer.release import open_release
from gpu_coldstart.errors import UserError
from tests.datasets.releases import (
    EXAMPLE,
    FORMS,
    ID,
    SPACES,
    Everything,
    Tables,
    changed,
    everything,
    notes_of,
    put,
    same,
    shuffled,
    write,
)

SAME, REFUSED = "same", "refused"
FEATURES = [name for name in EXAMPLE if name.startswith("user_features")]
ALL = {name: table.column_names for name, table in EXAMPLE.items()}
LISTS = {
    name: [field.name for field in table.schema if pa.types.is_list(field.type)]
    for name, table in EXAMPLE.items()
}
VECTORS = {
    name: [column for column in columns if column != "d1d30_songs"]
    for name, columns in LISTS.items()
    if not name.startswith("user_features")
}
NUMBERS = {
    name: [
        column
        for column in EXAMPLE[name].column_names
        if column not in {"user_index", *LISTS[name]}
    ]
    for name in FEATURES
}

Change = tuple[str, Any, str]
"""The file, its new table, and what must come of it."""


def column_of(draw: random.Random, columns: dict[str, list[str]]) -> tuple[str, str, int]:
    """A file, a column and a row."""
    name = draw.choice(list(columns))
    return name, draw.choice(columns[name]), draw.randrange(EXAMPLE[name].num_rows)


# -- changes of tables -----------------------------------------------------------------------------


def drop_a_column(draw: random.Random) -> Change:
    name, column, _ = column_of(draw, ALL)
    return name, EXAMPLE[name].drop_columns(column), REFUSED


def rename_a_column(draw: random.Random) -> Change:
    name, column, _ = column_of(draw, ALL)
    other = draw.choice([column.upper(), f"{column} ", column[:-1], "0", f"{column}é"])
    names = [other if found == column else found for found in EXAMPLE[name].column_names]
    return name, EXAMPLE[name].rename_columns(names), REFUSED


def repeat_a_column(draw: random.Random) -> Change:
    name, column, _ = column_of(draw, ALL)
    table = EXAMPLE[name]
    return name, table.append_column(column, table.column(draw.choice(ALL[name]))), REFUSED


def another_type(draw: random.Random) -> Change:
    name, column, _ = column_of(draw, ALL)
    cells = {
        "words": ["one"] * 8,
        "numbers as text": ["1"] * 8,
        "truths": [True] * 8,
        "days": pa.array([1] * 8, pa.date32()),
        "structs": [{"x": 1.0}] * 8,
        "lists in lists": [[[1.0]]] * 8,
        "words in lists": [["1.0"]] * 8,
        "lists": [[1.0]] * 8,
        "numbers": [1.0] * 8,
    }
    is_list = column in LISTS[name]
    del cells["numbers" if not is_list else "lists"]
    rows = EXAMPLE[name].num_rows
    bad = cells[draw.choice(list(cells))]
    return name, changed(EXAMPLE[name], column, lambda _: pa.array(bad)[:rows]), REFUSED


def a_wider_type(draw: random.Random) -> Change:
    name, column, _ = column_of(draw, {**NUMBERS, **{key: [ID[key]] for key in EXAMPLE}})
    dtype = draw.choice([pa.float64(), pa.uint64()] if column == ID[name] else [pa.float64()])
    return name, changed(EXAMPLE[name], column, list, dtype), SAME


def another_length(draw: random.Random) -> Change:
    name, column, row = column_of(draw, VECTORS)
    vector = EXAMPLE[name].column(column)[row].as_py()
    bad = draw.choice([[], vector[1:], [*vector, 0.0], vector * 2, vector[:1]])
    kind = EXAMPLE[name].schema.field(column).type
    return name, changed(EXAMPLE[name], column, put(row, bad), kind), REFUSED


def no_number(draw: random.Random) -> Change:
    name, column, row = column_of(draw, NUMBERS)
    is_count = column.startswith("nb_")
    cells = [float("inf"), float("-inf"), 1e39]
    bad = draw.choice(cells if is_count else [*cells, float("nan"), None])
    return name, changed(EXAMPLE[name], column, put(row, bad), pa.float64()), REFUSED


def no_count(draw: random.Random) -> Change:
    counts = {name: [c for c in NUMBERS[name] if c.startswith("nb_")] for name in FEATURES}
    name, column, _ = column_of(draw, counts)
    nothing = draw.choice([float("nan"), None])
    made = changed(
        EXAMPLE[name], column, lambda cells: [cell or nothing for cell in cells], pa.float64()
    )
    return name, made, SAME


def no_number_in_a_list(draw: random.Random) -> Change:
    name, column, row = column_of(draw, LISTS)
    cells = EXAMPLE[name].column(column)[row].as_py()
    bad = draw.choice([float("nan"), float("inf"), None, 1e300])
    cells[draw.randrange(len(cells))] = bad
    kind = pa.list_(pa.float64())
    return name, changed(EXAMPLE[name], column, put(row, cells), kind), REFUSED


def no_list(draw: random.Random) -> Change:
    name, column, row = column_of(draw, LISTS)
    return name, changed(EXAMPLE[name], column, put(row, None)), REFUSED


def text_of_no_list(draw: random.Random) -> Change:
    name, column, row = column_of(draw, LISTS)
    form = draw.choice(["text as pandas prints it", "text as NumPy prints it", "json", "bytes"])
    table = FORMS[form](EXAMPLE[name])
    cell = table.column(column)[row].as_py()
    text = cell.decode() if isinstance(cell, bytes) else str(cell)
    place = draw.randrange(len(text))
    stray = draw.choice(list("x;_'(é"))
    broken = [text[1:], text[:-1], text + text, f"[{text}]", text[:place] + stray + text[place:]]
    bad = draw.choice(broken)
    bad = draw.choice([bad, bad, "nan", "", "None", text.replace("[", "{").replace("]", "}")])
    value = bad.encode() if isinstance(cell, bytes) else bad
    kind = table.schema.field(column).type
    storage = kind.storage_type if form == "json" else kind
    texts = pa.array(
        put(row, value)([x.as_py() for x in table.column(column).cast(storage)]), storage
    )
    return name, changed(table, column, lambda _: texts), REFUSED


def an_id_twice(draw: random.Random) -> Change:
    name = draw.choice(list(EXAMPLE))
    one, other = draw.sample(range(EXAMPLE[name].num_rows), 2)
    value = EXAMPLE[name].column(ID[name])[one].as_py()
    return name, changed(EXAMPLE[name], ID[name], put(other, value)), REFUSED


def a_row_twice(draw: random.Random) -> Change:
    name, _, row = column_of(draw, ALL)
    table = EXAMPLE[name]
    return name, pa.concat_tables([table, table.slice(row, 1)]), REFUSED


def a_row_less(draw: random.Random) -> Change:
    name = draw.choice([*FEATURES, "user_embeddings"])
    rows = list(range(EXAMPLE[name].num_rows))
    del rows[draw.randrange(len(rows))]
    return name, EXAMPLE[name].take(rows), REFUSED


def another_id(draw: random.Random) -> Change:
    name = draw.choice([*FEATURES, "user_embeddings"])
    row = draw.randrange(EXAMPLE[name].num_rows)
    value = draw.choice([-1, 13, 10**9, 2**62, *[12, 5, 900, 77]])
    made = changed(EXAMPLE[name], "user_index", put(row, value))
    return name, made, SAME if made.equals(EXAMPLE[name]) else REFUSED


def no_rows(draw: random.Random) -> Change:
    name = draw.choice(list(EXAMPLE))
    return name, EXAMPLE[name].slice(0, 0), REFUSED


def other_songs(draw: random.Random) -> Change:
    name = draw.choice(FEATURES)
    made = changed(
        EXAMPLE[name],
        "d1d30_songs",
        lambda rows: [[draw.choice([-1, 3, 6, 999, 10**12]) for _ in row] for row in rows],
    )
    return name, made, REFUSED


def another_order_and_form(draw: random.Random) -> Change:
    name = draw.choice(list(EXAMPLE))
    table = FORMS[draw.choice(list(FORMS))](EXAMPLE[name])
    return name, shuffled(table, np.random.default_rng(draw.randrange(2**32))), SAME


TABLES: list[Callable[[random.Random], Change]] = [
    *(drop_a_column, rename_a_column, repeat_a_column, another_type, a_wider_type),
    *(another_length, no_number, no_count, no_number_in_a_list, no_list, text_of_no_list),
    *(an_id_twice, a_row_twice, a_row_less, another_id, no_rows, other_songs),
    another_order_and_form,
]


# -- changes of files ------------------------------------------------------------------------------


def cut(whole: bytes, draw: random.Random) -> tuple[bytes, str | None]:
    return whole[: draw.randrange(len(whole))], REFUSED


def flip(whole: bytes, draw: random.Random) -> tuple[bytes, str | None]:
    made = bytearray(whole)
    for _ in range(draw.choice([1, 1, 1, 8])):
        made[draw.randrange(len(made))] = draw.randrange(256)
    return bytes(made), None


def blank(whole: bytes, draw: random.Random) -> tuple[bytes, str | None]:
    start = draw.randrange(len(whole))
    length = min(draw.choice([4, 64, 512]), len(whole) - start)
    return whole[:start] + bytes(length) + whole[start + length :], None


def lose(whole: bytes, draw: random.Random) -> tuple[bytes, str | None]:
    start = draw.randrange(len(whole))
    return whole[:start] + whole[start + draw.choice([1, 8, 100]) :], None


def junk(_: bytes, draw: random.Random) -> tuple[bytes, str | None]:
    text = b"user_index,d1d30_songs\n1,[2]\n"
    noise = draw.randbytes(200)
    return draw.choice([b"", text, noise, b"PAR1" + noise + b"PAR1", b"PAR1PAR1"]), REFUSED


FILES: list[Callable[[bytes, random.Random], tuple[bytes, str | None]]] = [
    *(cut, flip, blank, lose, junk),
]


# -- what comes of them ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Everything]:
    """The copy that nothing is wrong with, and what is read out of it."""
    directory = write(tmp_path_factory.mktemp("whole"), EXAMPLE, write_page_checksum=True)
    return directory, everything(open_release(directory, SPACES))


def check(directory: Path, expected: Everything, must_be: str | None, *names: str) -> None:
    """Open and read a changed copy; ``names`` are the files that an error may be about."""
    try:
        release = open_release(directory, SPACES)
        found = everything(release)
    except UserError as error:
        text = str(error)
        assert must_be != SAME, text
        assert "\n" not in text
        assert any(f"{name}.parquet" in text for name in names), text
        assert str(directory) in text
        assert text.count(": ") >= 1
    else:
        assert must_be != REFUSED
        assert same(found, expected)
        assert notes_of(release) == ()


@pytest.mark.parametrize("change", TABLES)
def test_changed_tables(
    tmp_path: Path, whole: tuple[Path, Everything], change: Callable[[random.Random], Change]
) -> None:
    for seed in range(8):
        draw = random.Random(f"{change.__name__} {seed}")
        name, table, must_be = change(draw)
        tables: Tables = dict(EXAMPLE, **{name: table})
        groups = draw.choice([1, 3, 100])
        write(tmp_path, {key: value for key, value in tables.items() if key != name})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=groups)
        check(tmp_path, whole[1], must_be, name)


@pytest.mark.parametrize("change", FILES)
@pytest.mark.parametrize("part", range(4))
def test_changed_files(
    tmp_path: Path,
    whole: tuple[Path, Everything],
    change: Callable[[bytes, random.Random], tuple[bytes, str | None]],
    part: int,
) -> None:
    contents = {path.name: path.read_bytes() for path in whole[0].iterdir()}
    for file, content in contents.items():
        (tmp_path / file).write_bytes(content)
    for seed in range(6):
        draw = random.Random(f"{change.__name__} {part} {seed}")
        file = draw.choice(sorted(contents))
        content, must_be = change(contents[file], draw)
        (tmp_path / file).write_bytes(content)
        check(tmp_path, whole[1], must_be, file.removesuffix(".parquet"))
        (tmp_path / file).write_bytes(contents[file])


@pytest.mark.parametrize("one", EXAMPLE)
def test_swapped_files(tmp_path: Path, whole: tuple[Path, Everything], one: str) -> None:
    for other in EXAMPLE:
        if other != one:
            tables = dict(EXAMPLE, **{one: EXAMPLE[other], other: EXAMPLE[one]})
            check(write(tmp_path, tables), whole[1], REFUSED, one, other)
