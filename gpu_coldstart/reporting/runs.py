"""Finished runs, read back from their directories and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from safetensors import SafetensorError
from safetensors.numpy import load

from gpu_coldstart.config.resolve import from_toml
from gpu_coldstart.data.ids import Ids, Vocabulary
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.evaluation.protocol import MEASURES
from gpu_coldstart.regular import read_bytes
from gpu_coldstart.runs import paths
from gpu_coldstart.runs.artifacts import guarded, read_json, read_table
from gpu_coldstart.runs.store import RunDirectory

__all__ = ["FinishedRun", "load_run"]

_COLUMN = re.compile(rf"({'|'.join(MEASURES)})@(\d+)")
T = TypeVar("T")
_AGAIN = "do the run again"


@dataclass(frozen=True)
class FinishedRun:
    """What a run left, as far as it can be compared.

    Attributes
    ----------
    path : Path
    config : dict of dotted key to value
    engine, device : str
    seconds : dict of stage to float
    user_ids : HostArray [users] of int64, or of str objects
        The test users, as the data set names them.
    truth : list of tuple
        Each user's relevant tracks by id, ascending.
    measures : dict of (space, strategy) to dict of (measure, k) to HostArray [users] of float64
    files, versions : dict of name to str
        The SHA-256 of each input file, and the version of each library.
    """

    path: Path
    config: dict[str, Any]
    engine: str
    device: str
    seconds: dict[str, float]
    user_ids: HostArray
    truth: list[tuple[Any, ...]]
    measures: dict[tuple[str, str], dict[tuple[str, int], HostArray]]
    files: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def ks(self) -> set[int]:
        """The lengths of list at which it was measured."""
        return {k for series in self.measures.values() for _, k in series}


def load_run(path: Path) -> FinishedRun:
    """Read a finished run.

    Raises
    ------
    UserError
        When there is none, it is not finished, or one of its files is damaged or not as expected.
    """
    directory = RunDirectory.finished(path)
    stated = _results(path / paths.RESULTS)
    directory.read("config")  # for its hash
    measures: dict[tuple[str, str], dict[tuple[str, int], HostArray]] = {}
    user_ids: HostArray | None = None
    for stage, files in directory.stages.items():
        for name in files:
            place = paths.measured_by(name)
            if place is None:
                continue
            ids, series = _measured(path / name, directory.read(stage)[name])
            if user_ids is not None and not np.array_equal(ids, user_ids):
                raise UserError(
                    f"{path / name} is about other users than the run's other files: {_AGAIN}"
                )
            user_ids = ids
            measures[place] = series
    if user_ids is None or "logs" not in directory.stages:
        raise UserError(f"{path} holds a run without measures of users: {_AGAIN}")
    config, identity = from_toml(path / paths.CONFIG), directory.identity
    return FinishedRun(
        path,
        config,
        stated["engine"],
        stated["device"],
        {stage["name"]: float(stage["seconds"]) for stage in stated["stages"]},
        user_ids,
        _truth(path, directory.read("logs"), user_ids),
        _ordered(measures, config),
        {name: str(each.get("sha256")) for name, each in identity.get("data", {}).items()},
        {name: str(each) for name, each in identity.get("versions", {}).items()},
    )


def _ordered(
    measures: dict[tuple[str, str], T], config: Mapping[str, Any]
) -> dict[tuple[str, str], T]:
    """Spaces and strategies in the order of the configuration; the manifest sorts them by name."""
    orders = [[*map(str, config.get(key, ()))] for key in ("spaces", "strategies.names")]
    there = sorted(
        measures,
        key=lambda place: [
            (order.index(name) if name in order else len(order), name)
            for name, order in zip(place, orders, strict=True)
        ],
    )
    return {place: measures[place] for place in there}


def _results(path: Path) -> dict[str, Any]:
    """``results.json``, which no manifest vouches for."""
    with guarded(path, f"{_AGAIN}, or give it --resume"):
        stated = read_json(read_bytes(path), dict)
        if not all(isinstance(stated[key], str) for key in ("engine", "device")):
            raise TypeError("the engine and the device are strings")
        for stage in stated["stages"]:
            if not (isinstance(stage["name"], str) and 0 <= float(stage["seconds"]) < math.inf):
                raise ValueError("a stage has a name and a finite time")
    return stated


def _measured(path: Path, content: bytes) -> tuple[HostArray, dict[tuple[str, int], HostArray]]:
    """Users and their measures out of a table of measures."""
    try:
        table = read_table(content)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path} is not a Parquet file: {_AGAIN}") from error
    if "user_id" not in table.column_names:
        raise UserError(f"{path} has no column 'user_id': {_AGAIN}")
    ids = _column(path, table, "user_id", pa.int64(), pa.string())
    if not len(ids) or len(np.unique(ids)) < len(ids):
        raise UserError(f"{path}, column 'user_id' is empty or names a user twice: {_AGAIN}")
    series = {}
    for name in table.column_names:
        match = _COLUMN.fullmatch(name)
        if match is not None:
            values = _column(path, table, name, pa.float64())
            wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
            if len(wrong):
                raise UserError(
                    f"{path}, column '{name}', row {wrong[0]} is {values[wrong[0]]}, where a "
                    f"number from 0 to 1 is needed: {_AGAIN}"
                )
            series[match[1], int(match[2])] = values
    for k in sorted({k for _, k in series}) or [0]:
        for measure in MEASURES:
            if (measure, k) not in series:
                raise UserError(f"{path} has no column '{measure}@{k or 'K'}': {_AGAIN}")
    return ids, series


def _column(path: Path, table: pa.Table, name: str, *kinds: Any) -> HostArray:
    column = table.column(name)
    if column.type not in kinds or column.null_count:
        raise UserError(
            f"{path}, column '{name}' is {column.type} with {column.null_count} empty cells, where "
            f"{' or '.join(map(str, kinds))} without any is needed: {_AGAIN}"
        )
    values: HostArray = column.to_numpy()
    return values


def _truth(path: Path, files: Mapping[str, bytes], user_ids: HostArray) -> list[tuple[Any, ...]]:
    """Relevant tracks of each test user; these are the last users of the ground truth."""
    try:
        arrays: Mapping[str, HostArray] = load(files[paths.TRUTH])
        logs: Mapping[str, HostArray] = load(files[paths.LOGS])
        known = _names(logs, "user", arrays["user_ids"][-len(user_ids) :])
        borders = arrays["tracks.indptr"][-len(user_ids) - 1 :]
        indices = arrays["tracks.indices"]
        fits = len(borders) == len(user_ids) + 1 and len(indices) == borders[-1]
        if fits and np.array_equal(known, user_ids):
            tracks = _names(logs, "track", logs["track_ids"][indices])
            return [
                tuple(np.sort(tracks[start:stop]).tolist()) for start, stop in pairwise(borders)
            ]
    except (SafetensorError, pa.ArrowException, LookupError, ValueError, TypeError):
        pass  # reported below
    raise UserError(
        f"{path / paths.TRUTH} does not hold the truth of the run's test users: {_AGAIN}"
    )


def _names(logs: Mapping[str, HostArray], kind: str, codes: HostArray) -> HostArray:
    """Ids as the data set has them; codes of strings mean something within one data set only."""
    vocabulary = Vocabulary(logs[f"ids.{kind}.text"], logs[f"ids.{kind}.offsets"])
    strings = (kind,) if len(vocabulary) else ()
    space: dict[str, Any] = {kind: vocabulary}
    ids = Ids(**space, strings=strings)
    names: HostArray = ids.names(kind, codes).to_numpy(zero_copy_only=False)
    return names
