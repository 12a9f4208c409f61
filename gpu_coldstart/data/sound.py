"""Where tracks are by sound, as ``gpu-coldstart artists embed`` writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart.data.contract import Field
from gpu_coldstart.data.files import Opened
from gpu_coldstart.data.plain import problem_at
from gpu_coldstart.data.problems import Problem
from gpu_coldstart.engine.base import Array, Engine, HostArray
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    from gpu_coldstart.data.tables import Tables

__all__ = ["in_order", "vectors"]

_REMEDY = "write it as 'gpu-coldstart artists embed' does"


def vectors(
    column: pa.ChunkedArray, field: Field, opened: Opened
) -> tuple[HostArray, list[Problem]]:
    """Lists of numbers as rows of unit length; and what did not fit.

    Parameters
    ----------
    column : pyarrow.ChunkedArray [rows]

    Returns
    -------
    vectors : HostArray [rows, d] of float32
        A row of zeros stays null. Means nothing where there is a problem.
    problems : list of Problem
    """

    def wrong(bad: HostArray, text: Callable[[int], str]) -> list[Problem]:
        return problem_at(opened, field, bad, text, _REMEDY)

    nothing = np.zeros((len(column), 0), np.float32)
    if opened.is_text:
        text = "a CSV file holds no lists of numbers"
        return nothing, [Problem(opened.table, opened.file, text, "write Parquet", field.name)]
    if problems := wrong(_host(pc.is_null(column)), lambda _: "the cell is null"):
        return nothing, problems
    sizes = _host(pc.list_value_length(column))
    first = int(sizes[0]) if len(sizes) else 0
    if problems := wrong(
        (sizes != first) | (sizes == 0),
        lambda row: f"the list has {sizes[row]} numbers, that of the first row {first}",
    ):
        return nothing, problems
    with np.errstate(over="ignore"):  # what is too large for float32 is told below
        flat = _host(pc.list_flatten(column)).astype(np.float32)
    rows = flat.reshape(len(column), first).astype(np.float64)
    if problems := wrong(
        ~np.isfinite(rows).all(axis=1), lambda _: "the list has a null, or what is no float32"
    ):
        return nothing, problems
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32), []


def _host(column: pa.ChunkedArray) -> Any:
    return column.to_numpy(zero_copy_only=False)


def in_order(engine: Engine, tables: Tables, tracks: Array) -> tuple[Array | None, list[str]]:
    """The places by sound of the tracks, in their order.

    Parameters
    ----------
    tracks : Array [tracks] of int64
        Ids, ascending.

    Returns
    -------
    places : Array [tracks, d] of float32, or None
        Unit, or null for a track without sound; None where the source has no table of sound.
    notes : list of str
        Rows left out for naming unknown tracks.

    Raises
    ------
    UserError
        When a track stands there twice, or none of them is known.
    """
    if tables.sound is None:
        return None, []
    xp, column = engine.xp, tables.sound["track_id"]
    number = engine.lookup(column.values, tracks)
    rows = xp.flatnonzero(number >= 0)
    file, total = tables.opened["sound"].file, len(number)
    if not len(rows):
        raise UserError(
            f"{file}, column 'track_id': no row names a track that {tables.opened['tracks'].file} "
            "has: check that both come from the same catalogue"
        )
    repeated = xp.bincount(number[rows], minlength=len(tracks))[number[rows]] > 1
    if bool(repeated.any()):
        cell = tables.cell("sound", "track_id", int(rows[repeated][-1]))
        raise UserError(f"there are several rows of the track {cell}: keep one of them")
    given = tables.sound["embedding"].values
    places = xp.zeros((len(tracks), given.shape[1]), dtype=xp.float32)
    places[number[rows]] = given[rows]
    unknown = total - len(rows)
    note = f"{unknown} of {total} rows of sound name unknown tracks; left out"
    return places, [note] if unknown else []
