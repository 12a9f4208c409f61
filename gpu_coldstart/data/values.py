"""The values of columns, checked wherever the engine holds them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpu_coldstart.config.problems import shown
from gpu_coldstart.data.contract import TIME, YEARS, Field
from gpu_coldstart.data.files import Opened
from gpu_coldstart.data.ids import Ids
from gpu_coldstart.data.plain import problem_at
from gpu_coldstart.data.problems import Problem
from gpu_coldstart.engine.base import Array, Column, Engine

__all__ = ["Check"]


@dataclass(frozen=True)
class Check:
    """Checks the columns of one table.

    Attributes
    ----------
    engine : Engine
    opened : Opened
    ids : Ids
    problems : list of Problem
        Grows with what is wrong.
    """

    engine: Engine
    opened: Opened
    ids: Ids
    problems: list[Problem]

    def column(self, column: Column, rule: Field) -> Column:
        """The column, its values checked; of a choice of words, with codes into the choice."""
        before = len(self.problems)
        if not rule.nullable and column.valid is not None:
            remedy = "fill it or drop the row"
            if not rule.required:
                remedy = "fill it, or leave the whole column out"
            text = "the cell is null, which this column may not have"
            self.problems.extend(
                problem_at(self.opened, rule, ~column.valid, lambda _: text, remedy)
            )
        if rule.low is not None:
            self._range(column, rule)
        if len(self.problems) == before and rule.unique:
            self._unique(column.values, rule)
        return self._choice(column, rule) if rule.choices else column

    def _range(self, column: Column, rule: Field) -> None:
        values = column.values
        bad = values < rule.low
        if rule.high is not None:
            bad |= values > rule.high
        if column.valid is not None:
            bad &= column.valid
        self.problems.extend(
            problem_at(
                self.opened, rule, bad, lambda row: _outside(int(values[row]), rule), rule.hint
            )
        )

    def _unique(self, codes: Array, rule: Field) -> None:
        # The sort is stable, so that within equal ids the rows ascend and the first is the
        # original.
        xp = self.engine.xp
        order = xp.argsort(codes, kind="stable")
        repeats = order[1:][codes[order[1:]] == codes[order[:-1]]]
        if not repeats.shape[0]:
            return
        bad = xp.zeros(codes.shape[0], dtype=bool)
        bad[repeats] = True

        def text(row: int) -> str:
            file, original = self.opened.place(int((codes == codes[row]).argmax()))
            place = f"row {original}" + (f" of {file}" if len(self.opened.parts) > 1 else "")
            name = self.ids.names(rule.space, np.array([int(codes[row])]))[0].as_py()
            return f"the id {name} already stands in {place}"

        self.problems.extend(problem_at(self.opened, rule, bad, text, rule.hint))

    def _choice(self, column: Column, rule: Field) -> Column:
        """Codes into the column's own names, as codes into the names the contract allows."""
        place = {name: code for code, name in enumerate(rule.choices)}
        table = np.array([place.get(name, -1) for name in column.names] or [-1], dtype=np.int32)
        values = self.engine.asarray(table)[column.values]
        bad = values < 0 if column.valid is None else (values < 0) & column.valid
        allowed = ", ".join(rule.choices)
        self.problems.extend(
            problem_at(
                self.opened,
                rule,
                bad,
                lambda row: f"{shown(column.names[int(column.values[row])])} is none of {allowed}",
                rule.hint,
            )
        )
        return Column(values, None, rule.choices)


def _outside(value: int, rule: Field) -> str:
    if rule.kind is TIME:
        year = 1970 + int(np.datetime64(value, "us").astype("datetime64[Y]").astype(np.int64))
        return f"the time lies in the year {year}, outside {YEARS[0]} to {YEARS[1]}"
    if rule.high is None:
        return f"{value} is below {rule.low}"
    return f"{value} is outside {rule.low} to {rule.high}"
