"""The input vectors of the public release: a column of the file for each of their numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpu_coldstart.data.signals import BLOCKS, SCALARS, width
from gpu_coldstart.datasets.deezer.columns import Floats, Ints, ReleaseFile

__all__ = ["block_columns", "input_vectors", "may_be_nan"]

_COLUMNS_AT_A_TIME = 128


def block_columns(dimension: int) -> list[str]:
    """Names of the columns of the blocks, in the order of the input vector.

    Examples
    --------
    >>> names = block_columns(128)
    >>> names[0], names[127], names[128], len(names)
    ('age_embedding0', 'age_embedding127', 'country_embedding0', 2560)
    """
    return [f"{block}_embedding{i}" for block in BLOCKS for i in range(dimension)]


def may_be_nan(name: str) -> bool:
    """Whether a column may hold NaN, which stands for 0."""
    return name.startswith("nb_")


def input_vectors(file: ReleaseFile, dimension: int, slot: Ints) -> Floats:
    """Input vectors [users, 20 d + 19] of float32.

    The row of the file comes to the place that ``slot`` names; a negative one leaves it out. Beside
    the result, there are in memory only some columns of one row group.
    """
    vectors = np.empty((int(slot.max()) + 1, width(dimension)), dtype=np.float32)
    names = [*block_columns(dimension), *SCALARS]
    for start in range(0, len(names), _COLUMNS_AT_A_TIME):
        some = names[start : start + _COLUMNS_AT_A_TIME]
        for first, table in file.parts(some):
            numbers = np.stack([_numbers(file, table, name, first) for name in some])
            places = slot[first : first + table.num_rows]
            target = vectors[:, start : start + len(some)]
            if (places >= 0).all() and (np.diff(places) == 1).all():
                begin = int(places[0]) if len(places) else 0
                target[begin : begin + len(places)] = numbers.T
            else:
                target[places[places >= 0]] = numbers.T[places >= 0]
    return vectors


def _numbers(file: ReleaseFile, table: Any, name: str, first: int) -> Floats:
    """A column of a row group [rows] whose first row is row ``first`` of the file."""
    column = table.column(name)
    if column.null_count == len(column):
        column = column.cast("float32")  # as Arrow's null type has no NaN
    with np.errstate(over="ignore"):
        numbers: Floats = column.to_numpy().astype(np.float32)
    if may_be_nan(name):
        numbers[np.isnan(numbers)] = 0
    fine = np.isfinite(numbers)
    if not fine.all():
        row = int(np.argmin(fine))
        cell = column[row].as_py()
        what = "the cell is null" if cell is None else f"the cell is {cell}, no number of float32"
        file.fail(name, first + row, what)
    return numbers
