"""Everything that is wrong with a data set at once, and what a run would do with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gpu_coldstart.config.parameters import Config
from gpu_coldstart.data.cohorts import day_name
from gpu_coldstart.data.contract import SCHEMAS
from gpu_coldstart.data.dataset import Dataset
from gpu_coldstart.data.events import DAY
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.tables import ACTIONS, Source, Tables, read_all
from gpu_coldstart.datasets import events
from gpu_coldstart.engine.base import Column, Engine
from gpu_coldstart.errors import UserError
from gpu_coldstart.runs.settings import check_lists, check_settings

__all__ = ["CheckReport", "check", "check_directory"]

_WITHOUT = {
    "users.country": "no user has a country, so its block of the input vector stays null",
    "users.age": "no user has an age, so its block of the input vector stays null",
    "users.split": "users are split by the day they registered",
    "tracks.artist_id": "tracks have no artists, so artists' signals stay null",
    "tracks.album_id": "tracks have no albums, so albums' signals stay null",
    "tracks.genre": "segments are described without genres",
    "interactions.count": "every row counts once",
    "playlists.user_id": "playlists of cold users cannot be told apart, and all count",
    "playlists.created_at": "later playlists cannot be told apart, and all count",
}
"""What it means that an optional column is missing."""


@dataclass(frozen=True)
class CheckReport:
    """What a check came to.

    Attributes
    ----------
    problems : tuple of str
        What keeps a run from using the data, each with the file, column, row and remedy.
    facts : tuple of str
        What a run would do: cohorts, dates, sizes. Empty where there are problems.
    notes : tuple of str
        What is missing or would be left out, and what that means.
    """

    problems: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether a run can use the data."""
        return not self.problems

    @property
    def text(self) -> str:
        """For people."""
        count = len(self.problems)
        parts = [f"{count} problem{'s' if count != 1 else ''}" if count else "no problems"]
        parts += [f"  error: {problem}" for problem in self.problems]
        for title, lines in (("what a run would do", self.facts), ("notes", self.notes)):
            parts += [title, *(f"  {line}" for line in lines)] if lines else []
        return "\n".join(parts)


def check_directory(engine: Engine, directory: Path, config: Config) -> CheckReport:
    """Check the tables in a directory (:func:`check`)."""
    try:
        tables = events.tables(directory)
    except UserError as error:
        return CheckReport((str(error),))
    return check(engine, tables, config)


def check(engine: Engine, source: Source, config: Config) -> CheckReport:
    """Check a data set.

    Parameters
    ----------
    source : Source
    config : Config
        Of the run that would use the data.
    """
    checked = read_all(engine, source)
    if checked.problems:
        return CheckReport(tuple(map(str, checked.problems)))
    tables = Tables.of(checked)
    missing = [*_missing(tables), *_silent_actions(engine, tables.interactions["action"])]
    days = config.segments.popularity_days
    try:
        logs, truth = index(engine, tables, config.split, popularity_days=days)
    except UserError as error:
        return CheckReport((str(error),), notes=tuple(missing))
    refused = _refused(engine, config, Dataset(lambda: source), logs)
    if refused:
        return CheckReport(refused, notes=(*missing, *logs.notes))
    moments = tables.interactions["timestamp"].values
    first, last = (day_name(int(edge) // DAY) for edge in (moments.min(), moments.max()))
    facts = (
        f"{logs.n_warm} warm users to learn from, {logs.n_validation} validation, {logs.n_test} "
        f"test and {logs.n_target} target users to recommend to",
        logs.split_rule,
        f"{len(moments)} interactions from {first} to {last}",
        f"{logs.n_tracks} tracks, {len(logs.artist_ids)} artists, {len(logs.album_ids)} albums, "
        f"{len(logs.playlist_ids)} playlists",
        f"{logs.history.nnz} pairs of a warm user and a track to learn from, "
        f"{truth.tracks.nnz} of a validation or test user and a track to be found",
    )
    return CheckReport((), facts, (*missing, *logs.notes))


def _refused(engine: Engine, config: Config, dataset: Dataset, logs: Logs) -> tuple[str, ...]:
    """The settings that a run would refuse, as the data cannot serve them."""
    refused = []
    for settle in (
        partial(check_settings, engine, config, dataset),
        partial(check_lists, engine, config),
    ):
        try:
            settle(logs)
        except UserError as error:
            refused.append(str(error))
    return tuple(refused)


def _missing(tables: Tables) -> list[str]:
    """Notes on optional tables and columns that are not there."""
    notes = []
    if tables.playlists is None:
        notes.append(
            "there are no playlists: TT-SVD counts tracks that share a listening history, and "
            "there are no carousels"
        )
    for table, rules in SCHEMAS.items():
        columns: dict[str, Column] | None = getattr(tables, table)
        absent = [rule.name for rule in rules if columns and rule.name not in columns]
        notes += [
            f"{table} has no column '{name}': {_WITHOUT[f'{table}.{name}']}"
            for name in absent
            if f"{table}.{name}" in _WITHOUT
        ]
    return notes


def _silent_actions(engine: Engine, action: Column) -> list[str]:
    """A note on actions that no row has."""
    counts = engine.to_host(engine.xp.bincount(action.values, minlength=len(ACTIONS)))
    never = [name for name, count in zip(ACTIONS, counts, strict=True) if not count]
    if not never:
        return []
    return [f"nobody did {', '.join(never)}: these signals of the input vector stay null"]
