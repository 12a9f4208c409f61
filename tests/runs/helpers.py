"""Runs of the whole command on a world small enough for a test, and data sets to spoil."""

from __future__ import annotations

import io
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gpu_coldstart.evaluation.tables import SCHEMAS
from gpu_coldstart.run import main

Tables = dict[str, pa.Table]

WORLD = {
    "n_warm": 120,
    "n_validation": 30,
    "n_test": 30,
    "n_tracks": 200,
    "n_playlists": 120,
    "warm_tracks_mean": 15.0,
    "cold_tracks_min": 5.0,
    "cold_tracks_mean": 12.0,
}
"""The knobs that make the tiny world smaller still."""

SIZES: dict[str, str] = {
    "tt_svd.dimension": "8",
    "tt_svd.oversamples": "4",
    "ut_als.factors": "8",
    "ut_als.iterations": "2",
    "cml.dimension": "8",
    "cml.epochs": "2",
    "cml.candidates": "50",
    "hlr.dimension": "8",
    "hlr.memories": "4",
    "hlr.epochs": "2",
    "hlr.batch_size": "500",
    "mlp.epochs_tt_svd": "2",
    "mlp.epochs_ut_als": "2",
    "mlp.hidden": "16,8",
    "evaluation.bootstrap": "20",
    "evaluation.k": "10",
    "evaluation.figures": "false",
    "strategies.input_features_k": "4",
    "strategies.gate_segments": "3,6",
    "strategies.gate_hidden": "8",
    "strategies.gate_epochs": "2",
    "strategies.track_softmax_hidden": "8",
    "strategies.track_softmax_epochs": "2",
    "strategies.dropoutnet_full_hidden": "9,8",
    "strategies.dropoutnet_full_rank": "6",
    "strategies.dropoutnet_full_epochs": "2",
    "strategies.melu_full_embedding": "6",
    "strategies.melu_full_hidden": "8",
    "strategies.melu_full_epochs": "2",
    **{
        f"strategies.{name}_{setting}": value
        for name in ("heater", "clcrec", "gar", "aldi")
        for setting, value in {"hidden": "8", "tracks": "4", "epochs": "2"}.items()
    },
    "segments.k": "6",
}
"""Settings under which a run takes a fraction of a second."""

MEASURED_IN = ".measures.parquet"


@dataclass(frozen=True)
class Result:
    """What a call of the command came to."""

    status: int
    out: str
    err: str


def command(*arguments: object) -> Result:
    """Call the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:  # argparse
            status = int(stop.code or 0)
    return Result(status, out.getvalue(), err.getvalue())


def settings(values: Mapping[str, Any]) -> list[str]:
    """The values as options of the command."""
    return [part for key, value in values.items() for part in ("--set", f"{key}={value}")]


def synthetic(**changes: Any) -> list[str]:
    """Options for a run on the shrunken world; ``a__b=1`` sets ``a.b``."""
    world = {f"world.{name}": value for name, value in WORLD.items()}
    return ["--preset", "tiny", *settings(world | SIZES | _dotted(changes))]


def events(data: Path, **changes: Any) -> list[str]:
    """Options for a run on a directory of tables."""
    options = ["--dataset", "events", "--data", str(data), "--preset", "tiny"]
    return [*options, *settings(SIZES | _dotted(changes))]


def _dotted(changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("__", "."): value for name, value in changes.items()}


_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def one_thread() -> dict[str, str]:
    return dict(os.environ) | dict.fromkeys(_THREADS, "1")


def several_threads() -> dict[str, str]:
    """Three, whatever the machine; while they wait they leave its cores to others."""
    names = dict.fromkeys(_THREADS, "3") | {"MKL_DYNAMIC": "FALSE"}
    return dict(os.environ) | names | {"OMP_WAIT_POLICY": "passive"}


@contextmanager
def finished(process: subprocess.Popen[str], seconds: float = 60) -> Iterator[Result]:
    """Wait for a process; it is gone afterwards in any case."""
    try:
        out, err = process.communicate(timeout=seconds)
        yield Result(process.returncode, out, err)
    finally:
        process.kill()
        process.wait()


# -- what a run left ---------------------------------------------------------------------------


def manifest(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return content


def listed(out: Path) -> dict[str, bytes]:
    """Every file the manifest names."""
    names = [name for files in manifest(out)["stages"].values() for name in files]
    return {name: (out / name).read_bytes() for name in names}


def lasting(out: Path) -> dict[str, bytes]:
    """Every file the manifest names, and the manifest."""
    return listed(out) | {"manifest.json": (out / "manifest.json").read_bytes()}


def of_group(label: str) -> Callable[[float], bool]:
    """Whether a count is within a group's label."""
    first, _, last = label.partition("-")
    low = int(first.removeprefix(">")) + first.startswith(">")
    return lambda count: low <= count <= float(last or "inf")


def tabled(*names: str) -> set[str]:
    """The files of tables of the evaluation; of all of them without a name."""
    chosen = names or tuple(SCHEMAS)
    files = {(f"artifacts/analysis/{name}.parquet", f"tables/{name}.csv") for name in chosen}
    return {name for both in files for name in both}


def learned(out: Path) -> dict[str, bytes]:
    """Artifacts and recommendations: what does not tell where the data came from."""
    whole = listed(out)
    return {name: whole[name] for name in whole if "/" in name}


def results(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "results.json").read_text())
    return content


def track_lists(out: Path) -> list[Path]:
    """The recommendations that are of tracks; carousels are of playlists."""
    found = sorted(out.glob("recommendations/*/*.parquet"))
    return [path for path in found if not path.name.startswith("carousel-")]


def files_below(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}


def snapshot(place: Path) -> dict[str, bytes]:
    """Everything below a place, folders too."""
    paths = [place, *place.rglob("*")] if place.exists() else []
    return {str(path): b"" if path.is_dir() else path.read_bytes() for path in paths}


def differing(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> set[str]:
    """Names of files that are not the same in both."""
    return {name for name in {*one, *other} if one.get(name) != other.get(name)}


def refused(result: Result, *words: str) -> str:
    """Check for a refusal in one sentence that has the words; returns it."""
    assert result.status == 2, result
    lines = result.err.splitlines()
    assert len(lines) == 1, result.err
    assert lines[0].startswith("error: "), result.err
    assert "Traceback" not in result.out + result.err
    for word in words:
        assert word in lines[0], (word, lines[0])
    return lines[0]


# -- data to spoil -----------------------------------------------------------------------------


def write(tables: Mapping[str, pa.Table], directory: Path) -> Path:
    """Write tables as files of the data contract."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        pq.write_table(table, directory / f"{name}.parquet")
    return directory


def column(table: pa.Table, name: str) -> list[Any]:
    values: list[Any] = table.column(name).to_pylist()
    return values


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    """The table with a column replaced or added."""
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values)
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, array)
    return table.append_column(name, array)


def registration_days(users: pa.Table) -> dict[int, datetime]:
    """Midnight at the end of each user's registration day."""
    moments = zip(column(users, "user_id"), column(users, "registered_at"), strict=True)
    return {
        user: datetime(moment.year, moment.month, moment.day, tzinfo=UTC) + timedelta(days=1)
        for user, moment in moments
    }


def members(users: pa.Table, split: str) -> set[int]:
    """Ids of the users of a split."""
    pairs = zip(column(users, "user_id"), column(users, "split"), strict=True)
    return {user for user, name in pairs if name == split}


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def table_of(rows: Sequence[Mapping[str, Any]], like: pa.Table) -> pa.Table:
    """Rows as a table with the columns of another, strings plain."""
    fields = []
    for field in like.schema:
        dictionary = pa.types.is_dictionary(field.type)
        fields.append(field.with_type(field.type.value_type) if dictionary else field)
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))
