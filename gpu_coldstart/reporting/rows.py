"""The evaluation's tables row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from gpu_coldstart.evaluation.groups import FEWEST
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.runs.names import visible

__all__ = ["Line", "distinct", "large", "lines_of", "telling", "where"]

Line: TypeAlias = dict[str, Any]
"""A row of a table."""

_PLAIN = {int, float, bool, type(None)}
"""Of these nothing need be made visible."""


def lines_of(table: Table) -> list[Line]:
    """A table row by row, the control characters of its text made visible."""
    columns = [
        column if _PLAIN.issuperset(map(type, column)) else [_shown(value) for value in column]
        for column in table.values()
    ]
    return [dict(zip(table, values, strict=True)) for values in zip(*columns, strict=True)]


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [_shown(each) for each in value]
    return visible(value) if isinstance(value, str) else value


def distinct(lines: Iterable[Line], column: str) -> list[Any]:
    """Values of a column in order of appearance."""
    return list(dict.fromkeys(line[column] for line in lines))


def where(lines: Iterable[Line], **values: Any) -> list[Line]:
    """The rows that have these values."""
    return [line for line in lines if values.items() <= line.items()]


def telling(lines: Sequence[Line]) -> list[str]:
    """Ways to group users (``by``) by which there is more than one group."""
    pairs = {(line["by"], line["group"]) for line in lines}
    kinds = [by for by, _ in pairs]
    return [by for by in distinct(lines, "by") if kinds.count(by) > 1]


def large(lines: Sequence[Line]) -> Sequence[Line]:
    """Rows about 20 ``users`` or more; all of them where there are no such."""
    return [line for line in lines if line["users"] >= FEWEST] or lines
