"""Carousels and the replay of the online test out of a whole run, counted over from the tables."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load

from gpu_coldstart.data.logs import Logs
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.engine.cpu.engine import CpuEngine
from gpu_coldstart.evaluation.replay import MEASURES, cohorts
from gpu_coldstart.evaluation.tables import SCHEMAS
from gpu_coldstart.runs.artifacts import decode
from gpu_coldstart.strategies.carousels import ARMS
from tests.builtin import SPACES
from tests.runs.helpers import (
    Result,
    Tables,
    command,
    events,
    learned,
    manifest,
    members,
    refused,
    registration_days,
    results,
    rows_of,
    synthetic,
    table_of,
    tabled,
    write,
)

Done = tuple[Path, Result]
Row = dict[str, Any]
FEW = ("--space", "tt-svd", "--strategies", "popularity")
LEAST, STREAMED, FAVORITE = 10, 3, 1
"""The settings' usual values."""


def carousel(out: Path, space: str, arm: str) -> dict[int, list[Row]]:
    """Each test user's rows."""
    found: dict[int, list[Row]] = {}
    for row in pq.read_table(out / f"recommendations/{space}/carousel-{arm}.parquet").to_pylist():
        found.setdefault(row["user_id"], []).append(row)
    return found


def replayed(out: Path) -> list[Row]:
    rows: list[Row] = pq.read_table(out / "artifacts/analysis/replay.parquet").to_pylist()
    return rows


def lists_of(tables: Tables) -> dict[int, set[int]]:
    """The tracks of each playlist."""
    found: dict[int, set[int]] = {}
    for row in rows_of(tables["playlists"]):
        found.setdefault(row["playlist_id"], set()).add(row["track_id"])
    return found


def unit(vector: HostArray) -> HostArray:
    return vector / (math.sqrt(float(vector @ vector)) or 1.0)


@pytest.mark.parametrize("space", SPACES)
def test_carousels_are_the_nearest_playlists(done: Done, tables: Tables, space: str) -> None:
    out, lists = done[0], lists_of(tables)
    logs = decode(CpuEngine(), learned(out)["artifacts/logs.safetensors"], Logs)
    place = {track: i for i, track in enumerate(logs.track_ids.tolist())}
    saved = {
        name: load((out / f"artifacts/{space}/{name}.safetensors").read_bytes())
        for name in ("space", "segments", "predictions")
    }
    tracks, centroids = saved["space"]["tracks"], saved["segments"]["centroids"]
    offered = {
        playlist: unit(sum(tracks[place[track]] for track in held) / len(held))
        for playlist, held in lists.items()
        if len(held) >= LEAST
    }
    described = pq.read_table(out / f"artifacts/{space}/segments.parquet").to_pylist()
    shown = {arm: carousel(out, space, arm) for arm in ARMS}
    test = logs.user_ids[logs.users("test")].tolist()
    warm = logs.country[logs.users("warm")]
    for arm, of_users in shown.items():
        assert list(of_users) == test
        for i, (user, rows) in enumerate(of_users.items()):
            predicted = saved["predictions"]["embeddings"][logs.n_validation + i]
            if arm == "full":
                query = predicted
            elif arm == "semi":
                segment = min(
                    range(len(centroids)), key=lambda s: math.dist(predicted, centroids[s])
                )
                assert {row["segment"] for row in rows} == {segment}
                query = centroids[segment]
                known = described[segment]
                (told,) = {row["explanation"] for row in rows}
                assert told == (
                    f"like listeners from {known['country']}, aged {known['age_class']}, "
                    f"of {', '.join(known['genres'])}"
                )
            else:
                home = logs.country[logs.n_warm + logs.n_validation + i]
                neighbours = warm == home if home >= 0 else warm == warm
                query = saved["space"]["users"][neighbours].mean(axis=0)
            assert [row["rank"] for row in rows] == list(range(1, 13))
            score = {playlist: float(unit(query) @ point) for playlist, point in offered.items()}
            best = sorted(score.values(), reverse=True)[:12]
            assert [row["score"] for row in rows] == pytest.approx(best, abs=1e-5)
            assert [score[row["playlist_id"]] for row in rows] == pytest.approx(best, abs=1e-5)
            assert len({row["playlist_id"] for row in rows}) == 12, user


def test_the_replay_counts_what_the_tables_tell(done: Done, tables: Tables) -> None:
    out, lists = done[0], lists_of(tables)
    ends, test = registration_days(tables["users"]), members(tables["users"], "test")
    did: dict[tuple[int, str, str], set[int]] = {}
    for row in rows_of(tables["interactions"]):
        user, moment = row["user_id"], row["timestamp"]
        if user in test and 0 <= (moment - ends[user]).days < 30 and moment >= ends[user]:
            did.setdefault((user, row["action"], row["entity"]), set()).add(row["entity_id"])
    assert any(action == "favorite" for _, action, _ in did)
    rows = iter(replayed(out))
    for space in SPACES:
        shown = {arm: carousel(out, space, arm) for arm in ARMS}
        users = list(shown["full"])
        dealt = dict(zip(users, cohorts(np.array(users), 3, 0).tolist(), strict=True))
        for design in ("cohorts", "paired"):
            for measure, action, least in zip(
                MEASURES, ("stream", "favorite"), (STREAMED, FAVORITE), strict=True
            ):
                for place, arm in enumerate(ARMS):
                    row = next(rows)
                    mine = [u for u in users if design == "paired" or dealt[u] == place]
                    hits = sum(
                        one["playlist_id"] in did.get((user, action, "playlist"), ())
                        or len(did.get((user, action, "track"), set()) & lists[one["playlist_id"]])
                        >= least
                        for user in mine
                        for one in shown[arm][user]
                    )
                    head = [row[name] for name in ("space", "design", "measure", "arm")]
                    assert head == [space, design, measure, arm]
                    counts = [row[name] for name in ("users", "displays", "successes")]
                    assert counts == [len(mine), 12 * len(mine), hits]
    assert next(rows, None) is None


def test_streams_and_favourites_of_playlists_themselves_count(
    done: Done, tables: Tables, tmp_path: Path
) -> None:
    shown = carousel(done[0], "tt-svd", "full")
    user, ends = min(shown), registration_days(tables["users"])
    table = tables["interactions"]
    more = [
        {**rows_of(table.slice(0, 1))[0], "user_id": user, "timestamp": ends[user], "count": 1}
        | {"action": action, "entity": "playlist", "entity_id": row["playlist_id"]}
        for row in shown[user]
        for action in ("stream", "favorite")
    ]
    changed = tables | {"interactions": table_of([*rows_of(table), *more], table)}
    successes = []
    for name, source in (("plain", tables), ("more", changed)):
        data = write(source, tmp_path / name / "data")
        # So many tracks that only the playlists themselves count.
        options = events(data, carousels__streamed_tracks=500, carousels__favorite_tracks=500)
        out = tmp_path / name / "run"
        assert command(*options, *FEW, "--out", out).status == 0
        assert carousel(out, "tt-svd", "full") == shown
        successes.append(
            [
                row["successes"]
                for row in replayed(out)
                if (row["design"], row["arm"]) == ("paired", "full")
            ]
        )
    before, after = successes
    assert before[0] == 0
    assert after[0] == 12
    assert 0 < after[1] - before[1] <= 12


def test_none_are_made_where_none_are_wanted(done: Done, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert command(*synthetic(carousels__playlists=0), "--out", out).status == 0
    assert not [stage for stage in manifest(out)["stages"] if stage.endswith("carousels")]
    whole, without = learned(done[0]), learned(out)
    gone = {f"recommendations/{space}/carousel-{arm}.parquet" for space in SPACES for arm in ARMS}
    assert set(whole) - set(without) == gone
    changed = {name for name in without if whole[name] != without[name]}
    assert changed == tabled("replay")
    assert replayed(out) == []
    header = (out / "tables/replay.csv").read_text().splitlines()
    assert header == [",".join(SCHEMAS["replay"])]


def test_short_carousels_and_none_are_told(tables: Tables, tmp_path: Path) -> None:
    sizes = sorted((len(held) for held in lists_of(tables).values()), reverse=True)
    least = sizes[4]
    wanted = sum(size >= least for size in sizes)
    assert 4 < wanted < 12
    out = tmp_path / "few"
    assert command(*synthetic(carousels__least_tracks=least), *FEW, "--out", out).status == 0
    assert {len(rows) for rows in carousel(out, "tt-svd", "full").values()} == {wanted}
    assert any(f"carousels show {wanted} instead of 12" in n for n in results(out)["warnings"])
    assert {row["displays"] for row in replayed(out) if row["design"] == "paired"} == {30 * wanted}
    out = tmp_path / "none"
    options = synthetic(carousels__least_tracks=1000)
    assert command(*options, *FEW, "--out", out).status == 0
    assert any("no carousels were made" in note for note in results(out)["warnings"])
    assert not list(out.glob("recommendations/*/carousel-*"))
    assert replayed(out) == []
    assert command(*options, *FEW, "--out", out, "--resume").status == 0


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("playlists", -1, "it must be at least 0"),
        ("least_tracks", 0, "it must be at least 1"),
        ("streamed_tracks", 0, "it must be at least 1"),
        ("favorite_tracks", "1.5", "but a whole number like 1 is needed"),
        ("playlists", "many", "but a whole number like 12 is needed"),
    ],
)
def test_bad_settings_are_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    options = synthetic(**{f"carousels__{key}": value})
    refused(command(*options, "--out", tmp_path / "run"), f"'carousels.{key}'", words)
    assert not (tmp_path / "run").exists()
