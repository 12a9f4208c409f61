"""docs/outputs.md has every file and column that a run writes, and no others."""

from __future__ import annotations

from pathlib import Path

from tests.outputs import Entry, columns_of, described, entry_of, same_type
from tests.runs.helpers import Result

PAGE = described()


def expected(name: str, entry: Entry) -> list[Entry]:
    """The columns of a file; some sections say that they are those of another."""
    other = {
        "artifacts/analysis/TABLE.parquet": f"tables/{Path(name).stem}.csv",
        "artifacts/SPACE/examples.parquet": "tables/examples.csv",
    }.get(entry.name)
    return PAGE[entry if other is None else Entry(other)]


def test_every_file_and_column_is_described(done: tuple[Path, Result]) -> None:
    seen: dict[Entry, set[Entry]] = {}
    for path in filter(Path.is_file, done[0].rglob("*")):
        name = path.relative_to(done[0]).as_posix()
        entry = entry_of(PAGE, name)
        assert entry is not None, f"{name} is not in docs/outputs.md"
        columns = expected(name, entry)
        known = seen.setdefault(entry, set())
        for column, kind in columns_of(path).items():
            told = entry_of(columns, column)
            assert told is not None, f"{column} of {name} is not in docs/outputs.md"
            assert same_type(told.kind, kind), f"{column} of {name} is {kind}, not {told.kind}"
            known.add(told)
    drawn = {entry for entry in PAGE if entry.name.startswith("figures/")}  # this run has none
    assert PAGE.keys() - seen.keys() == drawn, "docs/outputs.md has files that are not written"
    for entry, known in seen.items():
        unknown = {column.name for column in PAGE[entry] if column.always} - {
            column.name for column in known
        }
        assert not unknown, f"docs/outputs.md gives {entry.name} columns that it does not have"
