"""Whose playlists count, and until when: none tells of a cold user's days after the first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from gpu_coldstart.runs import paths
from tests.runs.helpers import Tables, column, learned, members, results, rows_of
from tests.runs.on_tables import beyond_the_logs, cold_rows, ran

OPTIONS = ("--space", "tt-svd", "--strategies", "semi,full")


def owned(tables: Tables, owner: int | None, made: datetime | None, turn: int = 0) -> Tables:
    """The tables with one playlist more, of the same rows for any owner and date."""
    table = tables["playlists"]
    tracks = column(tables["tracks"], "track_id")
    rows = rows_of(table)
    plain_rows = [{**row, "user_id": None, "created_at": None} for row in rows]
    more = [
        {"playlist_id": -5, "track_id": track, "position": place}
        | {"user_id": owner, "created_at": made}
        for place, track in enumerate(tracks[turn : turn + 20])
    ]
    schema = pa.schema(
        [*table.schema, ("user_id", pa.int64()), ("created_at", pa.timestamp("us", "UTC"))]
    )
    return tables | {"playlists": pa.Table.from_pylist([*plain_rows, *more], schema=schema)}


def learned_otherwise(one: Path, other: Path) -> set[str]:
    """What two runs learned differently; one playlist more makes the truth's matrices wider."""
    return beyond_the_logs(one, other) - {paths.TRUTH}


@pytest.mark.parametrize("split", ["test", "validation"])
def test_playlists_of_cold_users_do_not_count(tables: Tables, tmp_path: Path, split: str) -> None:
    owner = min(members(tables["users"], split))
    base = ran(tables, tmp_path / "base", *OPTIONS)
    one = ran(owned(tables, owner, None), tmp_path / "one", *OPTIONS)
    other = ran(owned(tables, owner, None, turn=30), tmp_path / "other", *OPTIONS)
    assert learned(one) == learned(other)
    assert learned_otherwise(base, one) == set()
    assert any(note.startswith("20 of ") for note in results(one)["warnings"])


def test_playlists_of_strangers_do_not_count(tables: Tables, tmp_path: Path) -> None:
    base = ran(tables, tmp_path / "base", *OPTIONS)
    one = ran(owned(tables, -12345, None), tmp_path / "one", *OPTIONS)
    assert learned_otherwise(base, one) == set()


def test_playlists_of_warm_users_and_of_nobody_count(tables: Tables, tmp_path: Path) -> None:
    owner = min(members(tables["users"], "warm"))
    base = ran(tables, tmp_path / "base", *OPTIONS)
    one = ran(owned(tables, owner, None), tmp_path / "one", *OPTIONS)
    other = ran(owned(tables, None, None), tmp_path / "other", *OPTIONS)
    assert learned(one) == learned(other)
    assert "artifacts/tt-svd/space.safetensors" in beyond_the_logs(base, one)


def test_playlists_made_later_do_not_count(tables: Tables, tmp_path: Path) -> None:
    """Neither where warm users are heard after the first cold day nor where they are not."""
    first = min(column(tables["users"], "registered_at")[row] for row in cold_rows(tables))
    base = ran(tables, tmp_path / "base", *OPTIONS)
    day = datetime(first.year, first.month, first.day, tzinfo=UTC)
    early = ran(owned(tables, None, day), tmp_path / "early", *OPTIONS)
    late = ran(owned(tables, None, day + timedelta(days=1)), tmp_path / "late", *OPTIONS)
    assert "artifacts/tt-svd/space.safetensors" in beyond_the_logs(base, early)
    assert learned_otherwise(base, late) == set()
