"""What ``bundle.json`` says of a model, besides the hashes of its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from gpu_coldstart.data.cohorts import day_name
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import Engine
from gpu_coldstart.evaluation.groups import EVERYWHERE
from gpu_coldstart.evaluation.tables import Table
from gpu_coldstart.runs.finished import FinishedStages

__all__ = ["about_logs", "digests_of", "quality_of"]

_STRATUM, _MEASURE = "interactions", "ndcg"
"""Quality is told for users grouped by all that they did on the first day, in this measure."""


def about_logs(engine: Engine, logs: Logs) -> dict[str, Any]:
    """Days and sizes of the logs; ``warm_users_by_country`` leaves out users without a country."""
    country = engine.to_host(logs.country[: logs.n_warm])
    warm = np.bincount(country[country >= 0], minlength=len(logs.countries))
    return {
        "first_day": day_name(logs.days[0]),
        "last_day": day_name(logs.days[1]),
        "warm_users": logs.n_warm,
        "validation_users": logs.n_validation,
        "test_users": logs.n_test,
        "target_users": logs.n_target,
        "warm_users_by_country": dict(zip(logs.countries, warm.tolist(), strict=True)),
        "tracks": logs.n_tracks,
        "artists": int(logs.artist_ids.shape[0]),
        "albums": int(logs.album_ids.shape[0]),
        "playlists": int(logs.playlist_ids.shape[0]),
        "split": logs.split_rule,
    }


def digests_of(files: Mapping[str, Mapping[str, Any]]) -> dict[str, str] | None:
    """The SHA-256 of each input file, by name; None for data that were in no file."""
    return {name: str(file["sha256"]) for name, file in files.items()} or None


def quality_of(run: FinishedStages, space: str) -> dict[str, Any]:
    """How good the lists of a run were for its test users, in one space.

    Returns
    -------
    dict
        ``test_users``; ``strategies``, the rows of ``results.json``; ``by_interactions``, rows of
        the table ``strata`` (NDCG at the longest list); ``exposure``, rows of that table for all
        users. The last two are empty for a run without these tables. Fractions, not per cent.
    """
    rows = [row for row in run.results if row["space"] == space]
    longest = max(run.config.evaluation.k)
    strata = _rows(run.tables, "strata", space)
    exposure = _rows(run.tables, "exposure", space)
    return {
        "test_users": max((row["users"] for row in rows), default=0),
        "strategies": rows,
        "by_interactions": [
            row
            for row in strata
            if (row["by"], row["measure"], row["k"]) == (_STRATUM, _MEASURE, longest)
        ],
        "exposure": [row for row in exposure if row["country"] == EVERYWHERE],
    }


def _rows(tables: Mapping[str, Table], name: str, space: str) -> Iterator[dict[str, Any]]:
    """The rows of a table that are about a space."""
    table = tables.get(name, {})
    for cells in zip(*table.values(), strict=True):
        row = dict(zip(table, cells, strict=True))
        if row["space"] == space:
            yield row
