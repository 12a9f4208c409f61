"""The synthetic world keeps the data contract, its own promises, and the user's patience."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from gpu_coldstart import Dataset
from gpu_coldstart.cli.main import main
from gpu_coldstart.datasets.files import table_writers, write_files
from gpu_coldstart.datasets.synthetic import frames
from gpu_coldstart.datasets.synthetic.catalogue import Groups
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.names import named
from gpu_coldstart.datasets.synthetic.world import PRESETS, World
from gpu_coldstart.errors import UserError

DAY = 86_400_000_000
NAMES = ("users", "tracks", "interactions", "playlists")

# As small as a world can be and still feel every knob.
SPECK = replace(
    PRESETS["tiny"],
    n_warm=40,
    n_validation=10,
    n_test=10,
    n_tracks=240,
    n_playlists=40,
    warm_tracks_mean=15,
    cold_tracks_mean=30,
)

Tables = dict[str, pa.Table]


@pytest.fixture(scope="module")
def world() -> World:
    return replace(PRESETS["tiny"], n_test=200)


@pytest.fixture(scope="module")
def tables(world: World) -> Tables:
    return generate(world, seed=1)


@pytest.fixture(scope="module")
def speck() -> Tables:
    return generate(SPECK, seed=0)


class Rows:
    """The interactions as arrays, beside what is known of each row's user."""

    def __init__(self, tables: Tables) -> None:
        users, events = tables["users"], tables["interactions"]
        self.ids: npt.NDArray[Any] = users["user_id"].to_numpy()
        self.user: npt.NDArray[Any] = np.searchsorted(
            np.sort(self.ids), events["user_id"].to_numpy()
        )
        order = np.argsort(self.ids)
        registered = users["registered_at"].cast(pa.int64()).to_numpy()[order]
        self.split = users["split"].cast(pa.string()).to_numpy(zero_copy_only=False)[order]
        self.moment: npt.NDArray[Any] = events["timestamp"].cast(pa.int64()).to_numpy()
        self.registered: npt.NDArray[Any] = registered[self.user]
        self.day = self.moment // DAY - self.registered // DAY
        self.action = events["action"].cast(pa.string()).to_numpy(zero_copy_only=False)
        self.entity = events["entity"].cast(pa.string()).to_numpy(zero_copy_only=False)
        self.id: npt.NDArray[Any] = events["entity_id"].to_numpy()
        self.count: npt.NDArray[Any] = events["count"].to_numpy()
        self.n = self.ids.size

    def per_user(self, mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.bincount(self.user[mask], weights=self.count[mask], minlength=self.n)


@pytest.fixture(scope="module")
def rows(tables: Tables) -> Rows:
    return Rows(tables)


def test_same_world_and_seed_give_the_same_tables(speck: Tables) -> None:
    again = generate(SPECK, seed=0)
    assert all(again[name].equals(speck[name]) for name in NAMES)


def test_another_seed_gives_other_tables(speck: Tables) -> None:
    other = generate(SPECK, seed=1)
    assert not any(other[name].equals(speck[name]) for name in NAMES)


def test_tables_have_the_types_of_the_contract(tables: Tables) -> None:
    moment = pa.timestamp("us", tz="UTC")
    plain = {
        name: {
            field.name: field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            for field in tables[name].schema
        }
        for name in NAMES
    }
    ids, text = pa.int64(), pa.string()
    assert plain["users"] == {
        "user_id": ids,
        "registered_at": moment,
        "country": text,
        "age": pa.int16(),
        "split": text,
    }
    assert plain["tracks"] == {"track_id": ids, "artist_id": ids, "album_id": ids, "genre": text}
    assert plain["interactions"] == {
        "user_id": ids,
        "timestamp": moment,
        "action": text,
        "entity": text,
        "entity_id": ids,
        "count": pa.int32(),
    }
    assert plain["playlists"] == {"playlist_id": ids, "track_id": ids, "position": pa.int32()}


def test_ids_are_unique_scattered_and_unsorted(tables: Tables, world: World) -> None:
    for name, column, n in (
        ("users", "user_id", world.n_warm + world.n_validation + world.n_test),
        ("tracks", "track_id", world.n_tracks),
    ):
        ids = tables[name][column].to_numpy()
        assert np.unique(ids).size == ids.size == n
        assert ids.min() > 0
        assert ids.max() > 10**12
        assert (np.diff(ids) < 0).any()
    pairs = tables["playlists"].group_by(["playlist_id", "track_id"]).aggregate([])
    assert pairs.num_rows == tables["playlists"].num_rows
    assert pc.count_distinct(tables["playlists"]["playlist_id"]).as_py() == world.n_playlists


def test_events_point_at_things_that_exist(tables: Tables, rows: Rows) -> None:
    tracks, playlists = tables["tracks"], tables["playlists"]
    known = {
        "track": tracks["track_id"],
        "artist": tracks["artist_id"],
        "album": tracks["album_id"],
        "playlist": playlists["playlist_id"],
    }
    assert np.isin(tables["interactions"]["user_id"].to_numpy(), rows.ids).all()
    assert np.isin(playlists["track_id"].to_numpy(), tracks["track_id"].to_numpy()).all()
    for entity, ids in known.items():
        mine = rows.entity == entity
        assert mine.any()
        assert np.isin(rows.id[mine], ids.to_numpy()).all()
    assert rows.count.min() >= 1


def test_an_album_has_one_artist_and_an_artist_one_genre(tables: Tables) -> None:
    tracks = tables["tracks"]
    for part, whole in (("album_id", "artist_id"), ("artist_id", "genre")):
        pairs = tracks.select([part, whole]).group_by([part, whole]).aggregate([])
        assert pairs.num_rows == pc.count_distinct(tracks[part]).as_py()


def test_every_sensible_action_happens_on_registration_day(rows: Rows) -> None:
    today = rows.day == 0
    seen = {(a, e) for a, e in zip(rows.action[today], rows.entity[today], strict=True)}
    all_four = ("track", "artist", "album", "playlist")
    assert seen == {
        ("stream", "track"),
        ("skip", "track"),
        ("onboarding", "artist"),
        *(("ban", entity) for entity in all_four[:3]),
        *(("favorite", entity) for entity in all_four),
        *(("search", entity) for entity in all_four),
    }
    later = rows.action[~today] != "stream"
    assert set(rows.action[~today][later]) == {"favorite"}
    assert set(rows.entity[~today][later]) == {"track", "playlist"}
    assert (rows.entity[~today][~later] == "track").all()


def test_registration_day_shares(rows: Rows, world: World) -> None:
    today = rows.day == 0
    total = rows.per_user(today)
    streams = rows.per_user(today & (rows.action == "stream"))
    order_split = rows.split
    for split, size in (("warm", world.n_warm), ("test", world.n_test)):
        mine = order_split == split
        assert (total[mine] == 0).sum() == pytest.approx(world.share_silent * size, abs=1)
        assert (streams[mine] == 0).sum() == pytest.approx(world.share_no_stream * size, abs=1)
    against = rows.per_user(today & np.isin(rows.action, ["skip", "ban"]))
    assert against.sum() / total.sum() == pytest.approx(world.share_negative, abs=0.02)


def test_registration_day_events_follow_the_registration(rows: Rows) -> None:
    assert rows.day.min() == 0
    assert (rows.moment >= rows.registered).all()


def test_warm_events_end_before_the_cold_week(rows: Rows, world: World) -> None:
    cold_week = (date.fromisoformat(world.cold_week) - date(1970, 1, 1)).days
    warm = rows.split[rows.user] == "warm"
    assert (rows.moment[warm] // DAY).max() < cold_week
    first, last = np.percentile(rows.registered[warm] // DAY, [0, 100])
    assert cold_week - world.warm_days <= first <= last <= cold_week - world.warm_gap
    registered = rows.registered[~warm] // DAY
    assert registered.min() == cold_week
    assert registered.max() == cold_week + 6


def test_cold_users_stream_enough_in_the_next_30_days(rows: Rows, world: World) -> None:
    later = (rows.day > 0) & (rows.split[rows.user] != "warm")
    assert rows.day[later].max() == 30
    pairs = np.unique(np.stack([rows.user[later], rows.id[later]]), axis=1)
    distinct = np.bincount(pairs[0], minlength=rows.n)[rows.split != "warm"]
    assert distinct.min() >= world.cold_tracks_min
    assert distinct.mean() == pytest.approx(world.cold_tracks_mean, rel=0.1)


def test_one_row_per_user_action_thing_and_day(tables: Tables, rows: Rows) -> None:
    table = tables["interactions"].append_column("day", pa.array(rows.day))
    keys = ["user_id", "day", "action", "entity", "entity_id"]
    assert table.group_by(keys).aggregate([]).num_rows == table.num_rows


def test_few_countries_and_ages_are_unknown() -> None:
    users = generate(replace(SPECK, n_warm=2000, null_country=0.1, null_age=0.2), 0)["users"]
    assert users["country"].null_count / users.num_rows == pytest.approx(0.1, abs=0.03)
    assert users["age"].null_count / users.num_rows == pytest.approx(0.2, abs=0.03)
    ages = users["age"].drop_null().to_numpy()
    assert ages.min() >= 13
    assert ages.max() <= 90


OTHER: dict[str, Any] = {
    "cold_week": "2021-03-01",
    "null_country": 0.5,
    "null_age": 0.5,
    "share_silent": 0.2,
    "local_scenes": 1,
    "moods": 1,
}


@pytest.mark.parametrize("knob", [field.name for field in fields(World)])
def test_every_knob_changes_the_tables(knob: str, speck: Tables) -> None:
    value = getattr(SPECK, knob)
    if knob in OTHER:
        value = OTHER[knob]
    elif isinstance(value, tuple):
        value = tuple(2 * part for part in value)
    else:
        value = value + 2 if isinstance(value, int) else value * 1.5
    changed = generate(replace(SPECK, **{knob: value}), seed=0)
    assert not all(changed[name].equals(speck[name]) for name in NAMES)


@pytest.mark.parametrize(
    ("knob", "value", "part"),
    [
        ("n_warm", 0, "from 1"),
        ("n_countries", 99, "from 1 to 30"),
        ("share_silent", 1.5, "from 0 to 1"),
        ("share_silent", 0.5, "share_no_stream"),
        ("age_width", float("nan"), "give a number"),
        ("n_test", True, "give a whole number"),
        ("cold_week", "soon", "give a date"),
        ("local_scenes", 5, "n_genres"),
        ("warm_gap", 400, "warm_days"),
        ("share_loyal", 0.95, "more than 1"),
        ("playlist_mixed", 0.95, "more than 1"),
        ("day_searches", (1.0,), "4 numbers"),
        ("day_searches", 1.0, "4 numbers"),
        ("n_warm", 40.0, "whole number"),
        ("scene_zipf", (1.0,), "give a number"),
        ("n_tracks", "many", "whole number"),
        ("n_tracks", 10, "at least"),
        ("cold_tracks_mean", 500.0, "a quarter of"),
        ("warm_tracks_mean", 5.0, "warm_tracks_min"),
    ],
)
def test_a_bad_knob_is_named(knob: str, value: Any, part: str) -> None:
    with pytest.raises(UserError, match=part) as caught:
        replace(PRESETS["tiny"], **{knob: value})
    assert knob in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(UserError, match="the seed is -1"):
        generate(SPECK, seed=-1)


def test_extreme_worlds_can_be_made() -> None:
    lonely = replace(SPECK, n_validation=0, n_test=0, n_countries=1, n_genres=1, local_scenes=1)
    everyone_silent = replace(SPECK, share_silent=1.0, share_no_stream=1.0)
    no_playlist_theme = replace(SPECK, playlist_stray=1.0, playlist_length=1, n_playlists=1)
    greedy = replace(SPECK, cold_tracks_mean=60, chart_length=10**6, share_world=0.3)
    narrow = replace(SPECK, cold_tracks_mean=60, mood_noise=1000.0, abroad_push=1000.0)
    for world in (lonely, everyone_silent, no_playlist_theme, greedy, narrow):
        tables = generate(world, seed=0)
        assert tables["interactions"].num_rows > 0


def test_groups_draw_by_weight_and_stay_in_their_group() -> None:
    groups = Groups(np.array([0, 0, 1, 1, 1, 2]), np.array([1.0, 3.0, 1.0, 1.0, 2.0, 5.0]))
    wanted = np.repeat([0, 1, 2], 4000)
    drawn = groups.draw(np.random.default_rng(0), wanted)
    share = np.bincount(drawn, minlength=6) / 4000
    np.testing.assert_allclose(share, [0.25, 0.75, 0.25, 0.25, 0.5, 1.0], atol=0.03)


def test_command_writes_what_generate_makes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "world"
    assert main(["data", "synthetic", "--preset", "tiny", "--out", str(out), "--seed", "3"]) == 0
    assert sorted(path.name for path in out.iterdir()) == sorted(f"{n}.parquet" for n in NAMES)
    made = generate(PRESETS["tiny"], seed=3)
    for name in NAMES:
        assert pq.read_table(out / f"{name}.parquet").equals(made[name])
    assert f"{made['tracks'].num_rows} rows" in capsys.readouterr().out


def test_command_replaces_files_only_when_forced(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tracks.parquet").write_text("precious")
    arguments = ["data", "synthetic", "--preset", "tiny", "--out", str(tmp_path)]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "tracks.parquet is there already" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.parquet"]
    assert main([*arguments, "--force"]) == 0
    assert pq.read_metadata(tmp_path / "tracks.parquet").num_rows == 600


def test_command_says_in_one_sentence_that_a_folder_cannot_be_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert (
        main(["data", "synthetic", "--preset", "tiny", "--out", str(tmp_path / "file" / "x")]) == 2
    )
    error = capsys.readouterr().err
    assert error.startswith("error: cannot write to the folder")
    assert error.count("\n") == 1


def test_command_refuses_a_bad_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["data", "synthetic", "--preset", "tiny", "--out", str(tmp_path), "--seed", "-1"]) == 2
    )
    assert "not a whole number from 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_write_that_fails_leaves_nothing_new(
    tmp_path: Path, speck: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users.parquet").write_text("old")
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_files(table_writers(speck), tmp_path, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["users.parquet"]
    assert (tmp_path / "users.parquet").read_text() == "old"


def test_names_are_the_same_again_and_tell_artists_apart() -> None:
    plain = frames("tiny")
    tables = named(plain)
    assert tables["tracks"].drop_columns(["title", "artist_name"]).equals(plain["tracks"])
    assert named(plain)["tracks"].equals(tables["tracks"])
    assert not named(plain, 1)["tracks"].equals(tables["tracks"])
    pairs = (
        tables["tracks"].select(["artist_id", "artist_name"]).group_by(["artist_id", "artist_name"])
    )
    n = len(set(plain["tracks"]["artist_id"].to_pylist()))
    assert len(pairs.aggregate([])) == len(set(tables["tracks"]["artist_name"].to_pylist())) == n
    assert tables["playlists"]["title"].null_count == tables["tracks"]["title"].null_count == 0
    Dataset.from_frames(**tables)
