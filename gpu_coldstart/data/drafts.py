"""Tables on their way from files to the engine, their ids turned into int64 on the host."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gpu_coldstart.data.contract import ENTITIES, ID, Field
from gpu_coldstart.data.files import Opened
from gpu_coldstart.data.ids import KINDS, Ids, Vocabulary, as_text, is_integer, is_string
from gpu_coldstart.data.plain import problem_at
from gpu_coldstart.data.problems import Problem
from gpu_coldstart.engine.types import HostArray

__all__ = ["Draft", "for_engine", "id_spaces"]


@dataclass(frozen=True)
class Draft:
    """A table on its way to the engine.

    Attributes
    ----------
    opened : Opened
    fields : dict of Field
        By column.
    plain : dict of pyarrow.ChunkedArray
        Columns in host memory, in plain types; empty where the engine may read the file itself.
    vectors : dict of HostArray [rows, d] of float32
        Columns of vectors, which no engine reads; they are not among the fields.
    """

    opened: Opened
    fields: dict[str, Field]
    plain: dict[str, pa.ChunkedArray]
    vectors: dict[str, HostArray] = field(default_factory=dict)

    def type(self, name: str) -> pa.DataType:
        """Arrow type of a column."""
        return self.plain[name].type if name in self.plain else self.opened.types[name]


def id_spaces(drafts: list[Draft], known: Ids, problems: list[Problem]) -> Ids:
    """The id spaces: of integers or strings, and of which, by the columns that own them."""
    owned: dict[str, tuple[Draft, str]] = {}
    for draft in drafts:
        for name, rule in draft.fields.items():
            if rule.owner and _has_values(draft, name):
                owned[rule.space] = draft, name
    strings = set(known.strings)
    words: dict[str, Any] = {}
    for space, (draft, name) in owned.items():
        strings.discard(space)
        words[space] = Vocabulary()
        if is_string(draft.type(name)):
            strings.add(space)
            column = draft.plain[name] if draft.plain else draft.opened.read([name])[name]
            distinct = pc.unique(as_text(column).drop_null())
            words[space] = Vocabulary.of(distinct.take(pc.sort_indices(distinct)))
    ids = replace(
        known,
        **words,
        strings=tuple(kind for kind in KINDS if kind in strings),
        unowned=tuple(kind for kind in known.unowned if kind not in owned),
    )
    for draft in drafts:
        for name, rule in draft.fields.items():
            if rule.space in owned and not rule.owner and draft.opened.rows:
                _agree(draft, name, owned[rule.space], problems)
    return ids


def _has_values(draft: Draft, name: str) -> bool:
    """Whether a column has a value, as far as that can be told without reading it."""
    rows = draft.opened.rows
    return rows > 0 and (name not in draft.plain or draft.plain[name].null_count < rows)


def _agree(draft: Draft, name: str, owner: tuple[Draft, str], problems: list[Problem]) -> None:
    """Ids of one space are of one sort."""
    here, there = (is_string(table.type(column)) for table, column in ((draft, name), owner))
    if here != there:
        sorts = {True: "strings", False: "integers"}
        problems.append(
            Problem(
                draft.opened.table,
                draft.opened.file,
                f"the ids are {sorts[here]}, but in {owner[0].opened.file}, column "
                f"'{owner[1]}', they are {sorts[there]}",
                "write both in the same type",
                name,
            )
        )


def for_engine(draft: Draft, ids: Ids, problems: list[Problem]) -> Path | pa.Table:
    """The table for the engine to read, its ids as int64: the file itself where it may be."""
    opened, fields, columns = draft.opened, draft.fields, dict(draft.plain)
    coded = [
        name
        for name, rule in fields.items()
        if (is_string(draft.type(name)) and rule.kind is ID)
        or rule.space in ids.strings
        or (rule.space == "entity" and set(ids.strings) & set(ENTITIES))
    ]
    if not coded and not columns:
        return opened.paths[0] if fields else pa.table({})
    if not columns:
        values = opened.read(list(fields))
        columns = {name: values[name] for name in fields}
    for name in coded:
        rule = fields[name]
        if rule.space == "entity" and "entity" in columns:
            columns[name] = _entity_codes(columns[name], columns["entity"], draft, ids, problems)
        elif rule.space != "entity":
            columns[name] = _codes(ids, rule.space, columns[name])
    return pa.table({name: columns[name] for name in fields})


def _codes(ids: Ids, space: str, column: pa.ChunkedArray) -> pa.Array:
    """int64 of a column of ids, null where it is."""
    given = pc.is_valid(column)
    try:
        codes = ids.codes(space, column.drop_null())
    except ValueError:  # ids of another sort, which is a problem noted already
        codes = np.full(int(pc.sum(given).as_py() or 0), -1, np.int64)
    values = np.zeros(len(column), np.int64)
    there = np.asarray(given)
    values[there] = codes
    return pa.array(values, mask=~there)


def _entity_codes(
    column: pa.ChunkedArray,
    kinds: pa.ChunkedArray,
    draft: Draft,
    ids: Ids,
    problems: list[Problem],
) -> pa.Array:
    """int64 of ``entity_id``, whose space is that of the row's ``entity``."""
    rule, text = draft.fields["entity_id"], is_string(column.type)
    values, given = np.full(len(column), -1, np.int64), np.asarray(pc.is_valid(column))
    kinds = as_text(kinds)
    for kind in ENTITIES:
        mine = np.asarray(pc.fill_null(pc.equal(kinds, kind), fill_value=False)) & given
        if not mine.any():
            continue
        some = column.filter(pa.array(mine))
        if text and kind not in (*ids.strings, *ids.unowned):
            whole = is_integer(some)
            bad = mine.copy()
            bad[mine] = ~whole
            problems += problem_at(
                draft.opened,
                rule,
                bad,
                partial(_no_integer, column, kind),
                f"write the ids of each {kind} as its own table has them",
            )
            values[mine & ~bad] = ids.codes(kind, some.filter(pa.array(whole)))
        elif not text and kind in ids.strings:
            problems += problem_at(
                draft.opened,
                rule,
                mine,
                partial(_no_string, kind),
                "write the column as strings, integers by their digits",
            )
        else:
            values[mine] = ids.codes(kind, some)
    return pa.array(values, mask=~given)


def _no_integer(column: pa.ChunkedArray, kind: str, row: int) -> str:
    return f"{column[row].as_py()!r} is not an integer, as {kind} ids are"


def _no_string(kind: str, row: int) -> str:
    del row
    return f"the id is an integer, but {kind} ids are strings"
