"""What the synthetic world's users make favourites after their registration day."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import PRESETS
from tests.datasets.test_synthetic import SPECK, Rows


def test_cold_users_make_favourites_of_what_they_stream() -> None:
    world = replace(PRESETS["tiny"], n_test=200)
    rows = Rows(generate(world, seed=1))
    later = (rows.day > 0) & (rows.action == "favorite")
    assert (rows.split[rows.user[later]] != "warm").all()
    assert (rows.count[later] == 1).all()
    assert rows.day[later].max() <= 30
    things = list(zip(rows.user[later], rows.entity[later], rows.id[later], strict=True))
    assert len(set(things)) == len(things), "a favourite is made once"
    cold = int((rows.split != "warm").sum())
    for entity, mean in zip(("track", "playlist"), world.later_favorites, strict=True):
        found = int((later & (rows.entity == entity)).sum())
        # Repeats are dropped, and a user's activity varies much.
        assert found / cold == pytest.approx(mean, rel=0.25)
    streamed = set(zip(rows.user, rows.day, rows.id, rows.action == "stream", strict=True))
    tracks = later & (rows.entity == "track")
    for user, day, track in zip(rows.user[tracks], rows.day[tracks], rows.id[tracks], strict=True):
        assert (user, day, track, True) in streamed


def test_later_favourites_leave_all_else_as_it_is() -> None:
    speck = generate(SPECK, seed=0)
    without = generate(replace(SPECK, later_favorites=(0.0, 0.0)), seed=0)
    for name in ("users", "tracks", "playlists"):
        assert without[name].equals(speck[name])
    rows = Rows(speck)
    kept = pa.array((rows.day == 0) | (rows.action != "favorite"))
    assert speck["interactions"].filter(kept).equals(without["interactions"])
    assert speck["interactions"].num_rows > without["interactions"].num_rows
