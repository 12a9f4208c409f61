"""Tables on the way through mutations, and how they are written in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tests.fuzz.runner import HARMFUL, HARMLESS, UNKNOWN, Random
from tests.fuzz.world import tables
from tests.runs.helpers import Tables


@dataclass(frozen=True)
class Form:
    """How a table is written.

    Attributes
    ----------
    kind : {"parquet", "csv"}
    parts : tuple of int
        First rows of the parts after the first; None for a single file.
    options : mapping
        Of the Parquet writer.
    """

    kind: str = "parquet"
    parts: tuple[int, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def write(self, table: pa.Table, directory: Path, name: str) -> None:
        if self.parts is None:
            self._file(table, directory / f"{name}.{self.kind}")
            return
        edges = [0, *self.parts, table.num_rows]
        for number, (start, end) in enumerate(pairwise(edges)):
            path = self._part(directory / name, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file(table.slice(start, end - start), path)

    def _part(self, directory: Path, number: int) -> Path:
        """Each odd part lies in a folder; rows come in the order of the names."""
        folder = f"part-{number}=x" if number % 2 else ""
        return directory / folder / f"part-{number}.{self.kind}"

    def _file(self, table: pa.Table, path: Path) -> None:
        if self.kind == "csv":
            nested = [each.name for each in table.schema if pa.types.is_nested(each.type)]
            pyarrow.csv.write_csv(table.drop_columns(nested), path)
        else:
            pq.write_table(table, path, **self.options)

    def place(self, directory: Path, name: str, row: int) -> tuple[str, int]:
        """The file that has a row, and the row's number there."""
        if self.parts is None:
            return f"{directory / name}.{self.kind}", row
        starts = [0, *self.parts]
        number = max(n for n, start in enumerate(starts) if start <= row)
        return str(self._part(directory / name, number)), row - starts[number]


@dataclass(frozen=True)
class Blame:
    """What a refusal must name: a table, and a column and its first wrong row where known."""

    table: str
    column: str = ""
    row: int | None = None


@dataclass(frozen=True)
class Data:
    """Tables, and what has become of them.

    Attributes
    ----------
    tables : dict of pyarrow.Table
    forms : mapping of table to Form
    renamed : mapping of {"user", "track"} to dict
        Old ids by new ones, where a mutation renamed them.
    blame : Blame or None
        What must be refused, after a harmful mutation.
    later : tuple of callable
        What to do to the files once they are written.
    """

    tables: Tables
    forms: Mapping[str, Form]
    renamed: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    blame: Blame | None = None
    later: tuple[Callable[[Path], None], ...] = ()

    def with_table(self, name: str, table: pa.Table) -> Data:
        return replace(self, tables={**self.tables, name: table})

    def with_form(self, name: str, **changes: Any) -> Data:
        form = replace(self.forms[name], **changes)
        return replace(self, forms={**self.forms, name: form})

    def blaming(self, table: str, column: str = "", row: int | None = None) -> Data:
        return replace(self, blame=Blame(table, column, row))

    def old(self, kind: str, new: Any) -> Any:
        return self.renamed[kind][new] if kind in self.renamed else new

    def write(self, directory: Path) -> Path:
        directory.mkdir(parents=True)
        for name, table in self.tables.items():
            self.forms[name].write(table, directory, name)
        for change in self.later:
            change(directory)
        return directory


def untouched() -> Data:
    return Data(dict(tables()), dict.fromkeys(tables(), Form()))


Mutation = Callable[[Random, Data], Data]
MUTATIONS: dict[str, list[Mutation]] = {HARMLESS: [], HARMFUL: [], UNKNOWN: []}


def declared(expectation: str) -> Callable[[Mutation], Mutation]:
    """Register a mutation with what must become of data that it has touched."""

    def register(mutation: Mutation) -> Mutation:
        MUTATIONS[expectation].append(mutation)
        return mutation

    return register
