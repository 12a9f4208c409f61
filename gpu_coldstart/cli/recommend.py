"""``gpu-coldstart recommend``: lists for a file of users, from a saved model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpu_coldstart.cli import console, interruption, options
from gpu_coldstart.cli.wording import enough_memory
from gpu_coldstart.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from gpu_coldstart.data.files import Opened

__all__ = ["HELP", "SHORT", "read_tables", "recommend"]

SHORT = "Recommend tracks to users with a saved model."
HELP = """\
Recommend tracks to users with a saved model (a bundle, written by ColdStart.save).

Users may be new to the model, and may have no events. The output has a row for each user and rank:
user_id, rank, track_id, score, segment. In a CSV file, text that a spreadsheet would take for a
formula gets an apostrophe before it, ids that are text included; a Parquet file has all as it is.
"""

_ENDINGS = (".parquet", ".csv")


def recommend(
    *,
    bundle: Annotated[
        Path,
        typer.Argument(metavar="BUNDLE", parser=options.expanded, help="Directory of the model."),
    ],
    users: Annotated[
        Path,
        options.path(
            "--users", "FILE", "Users, .parquet or .csv: user_id; country, age, registered_at."
        ),
    ],
    out: Annotated[Path, options.path("--out", "FILE", "Output file: .parquet or .csv.")],
    interactions: Annotated[
        Path | None,
        options.path("--interactions", "FILE", "Their first-day events, .parquet or .csv."),
    ] = None,
    k: Annotated[int, options.integer("--k", "K", "Length of the lists (default: 50).")] = 50,
    strategy: Annotated[
        str | None,
        options.text("--strategy", "NAME", "Way to recommend (default: best, else semi)."),
    ] = None,
    explain: Annotated[bool, options.flag("--explain", "Add the reasons (.parquet only).")] = False,
    exclude_seen: Annotated[
        bool, options.flag("--exclude-seen", "Leave out what users streamed that day.")
    ] = False,
    engine: Annotated[
        str, options.choice("--engine", options.ENGINES, "Processor (default: auto).")
    ] = "auto",
    device: Annotated[int | None, options.device] = None,
) -> None:
    """Load the model, recommend, and write the lists."""
    if out.suffix not in _ENDINGS:
        raise UserError(f"--out {out} does not end in .parquet or .csv: choose one of them")
    if explain and out.suffix != ".parquet":
        raise UserError("--explain adds nested columns, which .csv cannot hold: use .parquet")
    from gpu_coldstart.coldstart import ColdStart
    from gpu_coldstart.engine import choose
    from gpu_coldstart.runs.artifacts import write_atomically

    tables = read_tables({"users": users, "interactions": interactions})
    chosen, reason = choose(engine, device=device)
    console.write(reason)
    with enough_memory(chosen, "recommend to fewer users at a time"), interruption.work():
        lists = ColdStart.load(bundle, engine=chosen).recommend(
            *tables,
            k=k,
            strategy=strategy,
            explain=explain,
            exclude_seen=True if exclude_seen else None,
        )
        write_atomically(out, _encoded(lists, out.suffix))
    for note in json.loads((lists.schema.metadata or {}).get(b"notes", b"[]")):
        console.write(f"note: {note}")
    console.write(f"{lists.num_rows // k} users, {k} tracks each: written to {out}")


def read_tables(files: Mapping[str, Path | None]) -> list[pa.Table | None]:
    """The tables of files, by their names in the data contract; None where there is no file.

    Raises
    ------
    UserError
        When one cannot be read, or a cell of a CSV file cannot be what its column holds.
    """
    import pyarrow as pa

    from gpu_coldstart.data.files import open_table
    from gpu_coldstart.data.ids import as_text, is_string

    opened = {name: open_table(path, name) for name, path in files.items() if path is not None}
    tables = {name: _plain(entry) for name, entry in opened.items()}
    users = {name: table["user_id"] for name, table in tables.items() if "user_id" in table}
    if any(is_string(ids.type) for ids in users.values()):
        # A CSV file of nothing but digits does not say that its ids are text elsewhere.
        for name, ids in users.items():
            if opened[name].is_text:
                tables[name]["user_id"] = as_text(ids)
    return [pa.table(tables[name]) if name in tables else None for name in files]


def _plain(opened: Opened) -> dict[str, pa.ChunkedArray]:
    """The columns of the data contract; those of a CSV file as what they hold.

    The ids of entities stay text there, which stands for integers where the model has those.
    """
    from gpu_coldstart.data.contract import SCHEMAS
    from gpu_coldstart.data.plain import plain
    from gpu_coldstart.data.problems import Problem, refuse

    fields = [field for field in SCHEMAS[opened.table] if field.name in opened.types]
    values = opened.read([field.name for field in fields])
    columns = {field.name: values[field.name] for field in fields}
    if opened.is_text:
        problems: list[Problem] = []
        for field in fields:
            if field.name != "entity_id":
                columns[field.name], wrong = plain(columns[field.name], field, opened)
                problems += wrong
        refuse(problems)
    return columns


def _safe(column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
    """Text that no spreadsheet takes for a formula, ids included; numbers as they are."""
    import pyarrow as pa

    from gpu_coldstart.data.ids import is_string
    from gpu_coldstart.runs.names import spreadsheet_safe

    if not is_string(column.type):
        return column
    encoded = pa.concat_arrays([pa.array([], column.type), *column.chunks]).dictionary_encode()
    words = [spreadsheet_safe(word) for word in encoded.dictionary.to_pylist()]
    return pa.array(words, column.type).take(encoded.indices)


def _encoded(lists: pa.Table, ending: str) -> bytes:
    """The bytes of a file."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    if ending == ".csv":
        columns = {name: _safe(lists[name]) for name in lists.column_names}
        pyarrow.csv.write_csv(pa.table(columns), sink)
    else:
        pq.write_table(lists, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content
