"""The tables of the data contract, read and checked.

Whoever brings data brings a :data:`Source`: three or four files, directories of part files, or
Arrow tables. :func:`load` checks the schema on the host, turns ids into int64, lets the engine read
the columns, checks every value, and returns :class:`Tables`. Data that break the contract raise a
:class:`~gpu_coldstart.errors.UserError` that names file, column, row and remedy of every problem of
the table.

What to do about ids that another table does not know is not decided here.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import pyarrow as pa

from gpu_coldstart.data.contract import (
    ACTIONS,
    ENTITIES,
    REQUIRED,
    SCHEMAS,
    SPLITS,
    VECTOR,
    Field,
    contents,
)
from gpu_coldstart.data.drafts import Draft, for_engine, id_spaces
from gpu_coldstart.data.files import Opened, open_table
from gpu_coldstart.data.ids import KINDS, Ids
from gpu_coldstart.data.plain import is_plain, plain
from gpu_coldstart.data.problems import Problem, refuse
from gpu_coldstart.data.sound import vectors
from gpu_coldstart.data.values import Check
from gpu_coldstart.engine.base import Column, Engine
from gpu_coldstart.errors import UserError

__all__ = [
    "ACTIONS",
    "ENTITIES",
    "SPLITS",
    "Source",
    "Tables",
    "contents",
    "load",
    "present",
    "read",
    "read_all",
]

Source: TypeAlias = Mapping[str, Path | pa.Table]
"""Where each table is: keys ``users``, ``tracks``, ``interactions`` and optionally
``playlists`` and ``sound``. A path is a Parquet file, a CSV file (``.csv``), or a directory of
either."""


class Read(NamedTuple):
    """Some tables of the data contract.

    Attributes
    ----------
    tables : dict
        Columns of each table; those with a problem are missing.
    ids : Ids
    opened : dict of Opened
    problems : list of Problem
        All there are; those of a table together, in the order of the source.
    """

    tables: dict[str, dict[str, Column]]
    ids: Ids
    opened: dict[str, Opened]
    problems: list[Problem]


@dataclass(frozen=True)
class Tables:
    """The tables of the data contract, read and checked.

    Each table is a dict of :class:`~gpu_coldstart.engine.base.Column`, all of a table with the
    same number of rows. An optional column that the data does not have is not a key. Only
    ``country``, ``age``, ``artist_id``, ``album_id``, ``genre`` and the optional columns of the
    playlists may hold nulls.

    Attributes
    ----------
    users : dict
        ``user_id`` int64, unique; ``registered_at`` int64, microseconds since 1970 (UTC).
        Optional: ``country`` int32 codes into its names; ``age`` int64, 0 to 130 years;
        ``split`` int32 codes into :data:`SPLITS`.
    tracks : dict
        ``track_id`` int64, unique. Optional: ``artist_id``, ``album_id`` int64; ``genre`` int32
        codes into its names; ``title`` and ``artist_name``, likewise, for people.
    interactions : dict
        ``user_id`` int64; ``timestamp`` int64, microseconds since 1970 (UTC); ``action`` int32
        codes into :data:`ACTIONS`; ``entity`` int32 codes into :data:`ENTITIES`; ``entity_id``
        int64. Optional: ``count`` int64, at least 1; absent, every count is 1.
    playlists : dict or None
        ``playlist_id``, ``track_id`` int64. Optional: ``position`` int64; ``user_id`` int64, who
        made it, and ``created_at``, as ``timestamp``, for playlists that must not tell the future
        of a cold user. None when the source has no playlists, or a table of them without a row.
    sound : dict or None
        ``track_id`` int64; ``embedding`` [rows, d] float32, of unit length or null. None when the
        source has no such table, or one without a row.
    ids : Ids
        What the int64 of the id columns stand for.
    opened : mapping of str to Opened
        Where each table came from, for messages.
    """

    users: dict[str, Column]
    tracks: dict[str, Column]
    interactions: dict[str, Column]
    playlists: dict[str, Column] | None
    sound: dict[str, Column] | None
    ids: Ids
    opened: Mapping[str, Opened]

    @classmethod
    def of(cls, checked: Read) -> Tables:
        """What :func:`read_all` found, if without problems."""
        users, tracks, interactions = (checked.tables[name] for name in REQUIRED)
        opened = checked.opened
        playlists, sound = (
            checked.tables[name] if name in opened and opened[name].rows else None
            for name in ("playlists", "sound")
        )
        return cls(users, tracks, interactions, playlists, sound, checked.ids, opened)

    def cell(self, table: str, column: str, row: int) -> str:
        """A value as the source has it, and where, for messages."""
        opened = self.opened[table]
        file, within = opened.place(row)
        value = opened.read([column])[column][row].as_py()
        return f"{value!r} in {file}, column '{column}', row {within}, counting from 0"


# -- loading ---------------------------------------------------------------------------------------


def load(engine: Engine, source: Source) -> Tables:
    """Read the tables of the data contract and check every value.

    Parameters
    ----------
    engine : Engine
        Reads the columns, and holds them.
    source : Source
        Ids are integers or strings, of one sort for each of users, tracks, artists, albums and
        playlists; ``entity_id`` is a string where ids of some kind are, and the integers of the
        other kinds their digits. Integers may have any type if their values are whole and fit
        int64, but floating-point columns only where nulls may stand; timestamps any unit, where
        one without a time zone means UTC and a date its midnight; strings any string type or a
        dictionary of one. Other columns are ignored, and so is a nullable column of Arrow's null
        type.

    Returns
    -------
    Tables
        Rows in the order of the source.

    Raises
    ------
    UserError
        When a table or column is missing, a file is not whole, a type is another, or a value
        cannot be: a null in a column that has none, a repeated id, an age outside 0 to 130, a
        year outside 1990 to 2100, an unknown word, a count below 1, no rows at all.
    """
    checked = read_all(engine, source)
    refuse(checked.problems)
    return Tables.of(checked)


def read_all(engine: Engine, source: Source) -> Read:
    """All tables of a source, as :func:`read`; tables that are missing are problems, too."""
    absent = [
        Problem(name, name, f"there is no table '{name}'", f"add one with {contents(name)}")
        for name in REQUIRED
        if name not in source
    ]
    checked = read(engine, {name: source[name] for name in SCHEMAS if name in source})
    return checked._replace(problems=absent + checked.problems)


def read(
    engine: Engine,
    source: Source,
    *,
    optional: Collection[str] = (),
    known: Ids | None = None,
) -> Read:
    """Read some tables of the data contract and check every value.

    Parameters
    ----------
    optional : collection of str
        Columns that may be missing beside those that the contract makes optional.
    known : Ids, or None
        The ids of the tables that are not among these.
    """
    problems: list[Problem] = []
    drafts = []
    for table, entry in source.items():
        try:
            drafts.append(_draft(open_table(entry, table), optional, problems))
        except UserError as error:
            problems.append(Problem(table, str(entry), str(error)))
    ids = id_spaces(drafts, known or Ids(unowned=KINDS), problems)
    tables = {}
    for draft in drafts:
        before = len(problems)
        try:
            columns = engine.read(for_engine(draft, ids, problems), list(draft.fields))
        except UserError as error:
            problems.append(Problem(draft.opened.table, draft.opened.file, str(error)))
            continue
        bad = {problem.column for problem in problems[before:]}
        check = Check(engine, draft.opened, ids, problems)
        tables[draft.opened.table] = {
            name: check.column(columns[name], rule)
            for name, rule in draft.fields.items()
            if name not in bad
        } | {name: Column(engine.asarray(rows)) for name, rows in draft.vectors.items()}
    order = list(source)
    problems.sort(key=lambda problem: order.index(problem.table))
    return Read(tables, ids, {draft.opened.table: draft.opened for draft in drafts}, problems)


# -- the schema, on the host -----------------------------------------------------------------------


def _draft(opened: Opened, optional: Collection[str], problems: list[Problem]) -> Draft:
    """Check the schema; read on the host what no engine reads by itself."""
    if opened.rows == 0:  # of what types its columns are says nothing
        if opened.table in REQUIRED:
            remedy = f"it should hold {contents(opened.table, optional)}"
            text = f"{opened.file} has no rows"
            problems.append(Problem(opened.table, opened.file, text, remedy))
        return Draft(opened, {}, {})
    fields = present(opened, optional, problems)
    placed = {}
    for name in [name for name, rule in fields.items() if rule.kind is VECTOR]:
        placed[name], wrong = vectors(opened.read([name])[name], fields.pop(name), opened)
        problems += wrong
    if opened.as_it_is and all(is_plain(opened.types[name], fields[name]) for name in fields):
        return Draft(opened, fields, {}, placed)
    columns = {}
    values = opened.read(list(fields))
    for name, rule in list(fields.items()):
        columns[name], wrong = plain(values[name], rule, opened)
        problems += wrong
        if wrong:
            del fields[name], columns[name]
    return Draft(opened, fields, columns, placed)


def present(opened: Opened, optional: Collection[str], problems: list[Problem]) -> dict[str, Field]:
    """The contract's fields that the table has, each of a type it may have.

    Parameters
    ----------
    optional : collection of str
        Columns that may be missing beside those that the contract makes optional.
    problems : list of Problem
        Grows with columns that are missing or of another type.
    """
    present = {}
    for rule in SCHEMAS[opened.table]:
        dtype = opened.types.get(rule.name)
        if dtype is None and rule.required and rule.name not in optional:
            problems.append(_missing(rule, opened))
        if dtype is None or (rule.nullable and pa.types.is_null(dtype)):
            continue
        exact = rule.nullable or not pa.types.is_floating(dtype)
        if opened.is_text or (rule.kind.accepts(dtype) and exact):
            present[rule.name] = rule
        else:
            text = f"the type is {dtype}, not {rule.kind.wanted}"
            problems.append(
                Problem(opened.table, opened.file, text, rule.kind.remedy_for(dtype), rule.name)
            )
    return present


def _missing(rule: Field, opened: Opened) -> Problem:
    there = {name.lower(): name for name in opened.types}
    similar = difflib.get_close_matches(rule.name, there, n=3, cutoff=0.6)
    names = [there[name] for name in similar] or list(opened.types)[:12]
    # repr shows what cannot be seen, such as a byte-order mark.
    listed = ", ".join(map(repr, names)) or "no column at all"
    remedy = f"add it, or rename the one that holds it ({rule.kind.wanted})"
    if any(not name or name.startswith("__index_level_") for name in opened.types):
        remedy = "if it is the index of a pandas frame, call reset_index(); else " + remedy
    return Problem(
        opened.table,
        opened.file,
        f"{opened.file} has no column '{rule.name}' (it has {listed})",
        remedy,
    )
