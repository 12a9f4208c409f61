"""What is wrong with a data set, one problem at a time."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_coldstart.errors import UserError

__all__ = ["Problem", "refuse"]


@dataclass(frozen=True)
class Problem:
    """Something that keeps a table from being used.

    Attributes
    ----------
    table, file : str
        ``file`` is the part file where the table has parts.
    text, remedy : str
    column : str
        Empty for a problem of the whole table.
    row : int or None
        The first row, counting from 0 within ``file``; None where rows have no order.
    rows : int
        How many rows have it.
    """

    table: str
    file: str
    text: str
    remedy: str = ""
    column: str = ""
    row: int | None = None
    rows: int = 1

    def __str__(self) -> str:
        """One sentence."""
        if not self.column:
            return self.text + (f": {self.remedy}" if self.remedy else "")
        where = f"{self.file}, column '{self.column}'"
        if self.row is not None:
            where += f", row {self.row}, counting from 0"
            if self.rows > 1:
                where += f", and {self.rows - 1} more"
        elif self.rows > 1:
            where += f", {self.rows} rows, in one of them"
        return f"{where}: {self.text}: {self.remedy}"


def refuse(problems: list[Problem]) -> None:
    """Raise a :class:`UserError` with the problems of the first table that has any."""
    if problems:
        mine = [str(problem) for problem in problems if problem.table == problems[0].table]
        raise UserError("; ".join(mine))
