"""Odd input is not bad, and runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.builtin import EVERY_STRATEGY
from tests.runs.helpers import (
    WORLD,
    Tables,
    column,
    command,
    learned,
    members,
    refused,
    registration_days,
    results,
    rows_of,
    synthetic,
    table_of,
    track_lists,
    with_column,
)
from tests.runs.on_tables import CHEAP, EVERY, Spoil, kept, noted, run_on, table_on

# -- odd, but not bad --------------------------------------------------------------------------


def no_playlist_has_rows(tables: Tables) -> None:
    tables["playlists"] = tables["playlists"].slice(0, 0)


def every_playlist_has_one_track(tables: Tables) -> None:
    table = tables["playlists"]
    tables["playlists"] = with_column(table, "playlist_id", list(range(table.num_rows)))


def nobody_streams_at_first(tables: Tables) -> None:
    """Not a stream on any registration day."""
    ends = registration_days(tables["users"])
    tables["interactions"] = kept(
        tables["interactions"],
        lambda row: row["action"] != "stream" or row["timestamp"] >= ends[row["user_id"]],
    )


def nobody_does_anything_at_first(tables: Tables) -> None:
    ends = registration_days(tables["users"])
    tables["interactions"] = kept(
        tables["interactions"], lambda row: row["timestamp"] >= ends[row["user_id"]]
    )


def streams_alone(tables: Tables) -> None:
    tables["interactions"] = kept(tables["interactions"], lambda row: row["action"] == "stream")


def no_skips(tables: Tables) -> None:
    tables["interactions"] = kept(tables["interactions"], lambda row: row["action"] != "skip")


def nothing_is_known_of_users(tables: Tables) -> None:
    users = tables["users"]
    blank = pa.nulls(users.num_rows)
    tables["users"] = with_column(with_column(users, "age", blank), "country", blank)


def nothing_is_known_of_tracks(tables: Tables) -> None:
    tracks = tables["tracks"]
    for name in ("artist_id", "album_id", "genre"):
        kind = tracks.schema.field(name).type
        kind = pa.string() if pa.types.is_dictionary(kind) else kind
        tracks = with_column(tracks, name, pa.nulls(tracks.num_rows, kind))
    tables["tracks"] = tracks


def everybody_is_of_one_country_and_age(tables: Tables) -> None:
    users = tables["users"]
    users = with_column(users, "age", [40] * users.num_rows)
    tables["users"] = with_column(users, "country", ["FR"] * users.num_rows)


def few(tables: Tables, split: str, n: int) -> None:
    ids = set(sorted(members(tables["users"], split))[n:])
    tables["users"] = kept(tables["users"], lambda row: row["user_id"] not in ids)
    tables["interactions"] = kept(tables["interactions"], lambda row: row["user_id"] not in ids)


def one_validation_user(tables: Tables) -> None:
    few(tables, "validation", 1)


def one_test_user(tables: Tables) -> None:
    few(tables, "test", 1)


def one_of_each(tables: Tables) -> None:
    few(tables, "validation", 1)
    few(tables, "test", 1)


def everybody_streams_the_same(tables: Tables) -> None:
    """One track for all, so that there are no tastes to tell apart."""
    table = tables["interactions"]
    track = column(tables["tracks"], "track_id")[0]
    rows = [
        {**row, "entity_id": track}
        if (row["action"], row["entity"]) == ("stream", "track")
        else row
        for row in rows_of(table)
    ]
    tables["interactions"] = table_of(rows, table)


def huge_counts(tables: Tables) -> None:
    table = tables["interactions"]
    tables["interactions"] = with_column(table, "count", [2**40] * table.num_rows)


ODD: list[Spoil] = [
    no_playlist_has_rows,
    nobody_streams_at_first,
    nobody_does_anything_at_first,
    streams_alone,
    no_skips,
    nothing_is_known_of_users,
    nothing_is_known_of_tracks,
    everybody_is_of_one_country_and_age,
    one_validation_user,
    one_test_user,
    one_of_each,
    everybody_streams_the_same,
    huge_counts,
]


@pytest.mark.parametrize("make", ODD)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_odd_logs_run(tables: Tables, tmp_path: Path, make: Spoil) -> None:
    changed = dict(tables)
    make(changed)
    content = table_on(changed, tmp_path, *EVERY)
    assert len(content["rows"]) == 2 * len(EVERY_STRATEGY)
    known = set(column(tables["tracks"], "track_id"))
    for path in track_lists(tmp_path / "run"):
        table = pq.read_table(path)
        assert set(column(table, "track_id")) <= known
        assert np.isfinite(table.column("score").to_numpy()).all(), path
        lists = table.column("track_id").to_numpy().reshape(-1, 10)
        assert all(len(set(row)) == 10 for row in lists.tolist())


def test_playlists_of_one_track_each_are_refused_for_tt_svd_only(
    tables: Tables, tmp_path: Path
) -> None:
    changed = dict(tables)
    every_playlist_has_one_track(changed)
    refused(run_on(changed, tmp_path / "svd", "--space", "tt-svd"), "no two tracks co-occur")
    assert not (tmp_path / "svd/run").exists()
    table_on(changed, tmp_path / "als", "--space", "ut-als")


def test_no_playlists_fall_back_on_histories_and_say_so(tables: Tables, tmp_path: Path) -> None:
    changed = {name: table for name, table in tables.items() if name != "playlists"}
    content = table_on(changed, tmp_path / "none", *CHEAP)
    noted(content, "no playlists that count: TT-SVD counts tracks that share a listening history")
    noted(content, "there is no table of them; left out")
    no_playlist_has_rows(changed | tables)
    empty = tables | {"playlists": tables["playlists"].slice(0, 0)}
    assert table_on(empty, tmp_path / "empty", *CHEAP)["rows"] == content["rows"]
    assert learned(tmp_path / "empty/run") == learned(tmp_path / "none/run")


def test_without_a_stream_on_the_first_day_the_chart_is_recommended(
    tables: Tables, tmp_path: Path
) -> None:
    changed = dict(tables)
    nobody_streams_at_first(changed)
    chosen = ["--space", "tt-svd", "--strategies", "popularity,registration-day"]
    rows = table_on(changed, tmp_path, *chosen)["rows"]
    assert {**rows[0], "strategy": ""} == {**rows[1], "strategy": ""}


@pytest.mark.parametrize("k", [1, 2])
def test_few_segments(tmp_path: Path, k: int) -> None:
    out = tmp_path / "run"
    result = command(*synthetic(segments__k=k, strategies__input_features_k=k), "--out", out)
    assert result.status == 0, result.err
    rows = {(row["space"], row["strategy"]): row["ndcg"] for row in results(out)["rows"]}
    if k == 1:  # everybody's favourites are the chart
        for strategy in ("semi", "soft", "input-features"):
            assert rows["tt-svd", strategy] == pytest.approx(rows["tt-svd", "popularity"])


def test_a_tiny_catalogue(tables: Tables, tmp_path: Path) -> None:
    """Half the tracks, and lists that leave out what was heard: hardly enough are left."""
    out = tmp_path / "run"
    sizes: dict[str, float] = {"world.n_tracks": 48, "world.n_genres": 2, "world.n_countries": 1}
    sizes |= {"world.local_scenes": 1, "world.cold_tracks_mean": 8, "world.warm_tracks_mean": 12}
    arguments = [part for key, value in sizes.items() for part in ("--set", f"{key}={value}")]
    arguments += ["--set", "strategies.exclude_seen=true", "--k", "10,25"]
    result = command(*synthetic(), *arguments, "--out", out)
    assert result.status == 0, result.err
    for path in track_lists(out):
        lists = pq.read_table(path).column("track_id").to_numpy().reshape(-1, 25)
        assert all(len(set(row)) == 25 for row in lists.tolist())


def test_lists_that_leave_out_too_much_are_refused_or_filled(tmp_path: Path) -> None:
    """As many tracks asked for as there are, less what each user has heard."""
    out = tmp_path / "run"
    arguments = ["--set", "strategies.exclude_seen=true", "--k", "200"]
    result = command(*synthetic(), *CHEAP, *arguments, "--out", out)
    if result.status == 2:
        refused(result)
    else:
        assert result.status == 0
        lists = pq.read_table(out / "recommendations/tt-svd/semi.parquet")
        assert lists.num_rows == 200 * WORLD["n_test"]
