"""The tables that the fuzzer spoils, the command that runs on them, and what a sound run is."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from gpu_coldstart.cli.main import main
from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.datasets.synthetic.generate import generate
from tests.fuzz.runner import require
from tests.runs import helpers
from tests.runs.helpers import Result, Tables, events, results, with_column

K = 5
WORLD = {
    "n_warm": 40,
    "n_validation": 8,
    "n_test": 8,
    "n_tracks": 60,
    "n_playlists": 20,
    "warm_tracks_mean": 12.0,
    "cold_tracks_min": 5.0,
    "cold_tracks_mean": 8.0,
}
SIZES = {
    "evaluation__k": K,
    "evaluation__analysis": "false",
    "carousels__playlists": 0,
    "mlp__batch_size": 16,
    "mlp__epochs_tt_svd": 1,
    "segments__k": 3,
    "tt_svd__dimension": 4,
}
OPTIONS = ("--space", "tt-svd", "--strategies", "semi", "--engine", "cpu")
LISTS = Path("recommendations/tt-svd/semi.parquet")

Lists = dict[Any, list[Any]]
"""Track ids by user id, best first."""


@cache
def tables() -> Tables:
    """Every column of the contract, in plain types; moments in whole seconds."""
    given = {f"world.{name}": value for name, value in WORLD.items()}
    world = resolve(preset="tiny", settings=given).world
    made = {name: _plain(table) for name, table in generate(world, 0).items()}
    users, tracks, playlists = made["users"], made["tracks"], made["playlists"]
    names = [f"Song {number}, é" for number in range(tracks.num_rows)]
    tracks = with_column(tracks, "title", names)
    made["tracks"] = with_column(tracks, "artist_name", [None, *names[1:]])
    warm = users["user_id"].to_pylist()[: WORLD["n_warm"]]
    owners = [warm[row % 7] if row % 3 else None for row in range(playlists.num_rows)]
    playlists = with_column(playlists, "user_id", pa.array(owners, pa.int64()))
    early = pc.min(users["registered_at"])
    dates = pa.array([early.as_py() if row % 2 else None for row in range(playlists.num_rows)])
    playlists = with_column(playlists, "created_at", dates.cast(users["registered_at"].type))
    titles = [f"List {number}" for number in playlists["playlist_id"].to_pylist()]
    made["playlists"] = with_column(playlists, "title", titles)
    return made


def _plain(table: pa.Table) -> pa.Table:
    """Strings that are not dictionaries, 64 bits for every number, whole seconds."""
    for place, field in enumerate(table.schema):
        column = table[field.name]
        if pa.types.is_dictionary(field.type):
            column = column.cast(pa.string())
        elif pa.types.is_integer(field.type):
            column = column.cast(pa.int64())
        else:
            column = column.cast(pa.timestamp("s", "UTC"), safe=False)
            column = column.cast(pa.timestamp("us", "UTC"))
        table = table.set_column(place, field.name, column)
    return table.combine_chunks()


def cli(*arguments: object) -> Result:
    """Any command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    if status in (130, 143):  # somebody wants the fuzzer to end, not the command
        raise KeyboardInterrupt
    return Result(status, out.getvalue(), err.getvalue())


def run(data: Path, out: Path, *options: object) -> Result:
    """The whole flow on a directory of tables."""
    return cli("run", *events(data, **SIZES), *OPTIONS, "--out", out, *options)


def sections() -> dict[str, Any]:
    """The settings of :func:`run` as parameters of ``ColdStart``."""
    made: dict[str, Any] = {"strategies": {"names": ["semi"]}}
    small = {name.replace("__", "."): value for name, value in SIZES.items()}
    for key, value in (helpers.SIZES | small).items():
        section, _, name = key.partition(".")
        made.setdefault(section, {})[name] = value
    return made


def lists_of(table: pa.Table, k: int = K) -> Lists:
    """Recommendations as lists, after a check that they are sound."""
    rows = table.select(["user_id", "rank", "track_id", "score"]).to_pylist()
    lists: Lists = {}
    scores: dict[Any, list[float]] = {}
    for row in rows:
        mine = lists.setdefault(row["user_id"], [])
        mine.append(row["track_id"])
        scores.setdefault(row["user_id"], []).append(row["score"])
        require(row["rank"] == len(mine), f"rank {row['rank']} where {len(mine)} is due")
    for user, mine in lists.items():
        require(len(set(mine)) == len(mine) == k, f"user {user} gets {mine}")
        values = np.array(scores[user])
        require(np.isfinite(values).all(), f"the scores of user {user} are {values}")
        require((np.diff(values) <= 0).all(), f"the scores of user {user} rise: {values}")
    return lists


def sound(out: Path, known: Iterable[Any] | None = None, k: int = K) -> Lists:
    """The lists of a finished run, after a check of all that can be checked by itself."""
    for row in results(out)["rows"]:
        for name in ("precision", "recall", "ndcg"):
            require(0 <= row[name] <= 1, f"{name} is {row[name]}")
    lists = lists_of(pq.read_table(out / LISTS), k)
    require(lists, "there are no lists")
    if known is not None:
        strangers = {track for mine in lists.values() for track in mine} - set(known)
        require(not strangers, f"tracks that nobody knows: {strangers}")
    return lists


def one_refusal(result: Result, *words: str) -> str:
    """The sentences of a refusal by the command, after a check that it is one."""
    require(result.status == 2, f"status {result.status}: {result.err[-2000:]}")
    lines = result.err.splitlines()
    require(len(lines) == 1, f"no single line: {result.err[-2000:]}")
    require(lines[0].startswith("error: "), f"no error: {lines[0]}")
    require("Traceback" not in result.out + result.err, result.err[-2000:])
    require(len(lines[0]) < 4000, f"{len(lines[0])} characters: {lines[0][:300]}")
    for word in words:
        require(word in lines[0], f"{word!r} is not in: {lines[0]}")
    return lines[0]
