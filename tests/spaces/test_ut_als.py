"""UT-ALS: affinities counted from the raw events, and what the fitted space promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.components import UtAlsConfig
from gpu_coldstart.config.parameters import Config, SplitConfig
from gpu_coldstart.engine import Engine
from gpu_coldstart.spaces.ut_als import UtAls, affinity
from tests.expectations import expect
from tests.worlds import dense, hand_logs, some_world, stored

ALL_EVENTS = Config(split=SplitConfig(warm_until="all"))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "weights",
    [
        {},
        {
            "stream_weight": 0.5,
            "favorite_track_weight": 3.0,
            "favorite_album_weight": 0.25,
            "favorite_artist_weight": 0.0,
        },
    ],
    ids=["default", "other"],
)
def test_affinity(engine: Engine, seed: int, weights: dict[str, Any]) -> None:
    raw = some_world(seed)
    options = UtAlsConfig(**weights)
    wanted = expect(raw, ALL_EVENTS)
    table = np.zeros((len(wanted.warm), len(wanted.tracks)))
    kinds = {
        "track": options.favorite_track_weight,
        "album": options.favorite_album_weight,
        "artist": options.favorite_artist_weight,
    }
    for i, who in enumerate(wanted.warm):
        for j, track in enumerate(wanted.tracks):
            table[i, j] = options.stream_weight * math.log(1 + wanted.history[who][track])
            for thing in wanted.favorites[who]:
                if track in wanted.members[thing]:
                    table[i, j] += kinds[thing[0]]
    found = affinity(engine, raw.logs(engine, ALL_EVENTS), options)
    assert_allclose(dense(engine, found), table, rtol=1e-5)
    assert_array_equal(stored(engine, found), table > 0)
    assert sum(len(things) for things in wanted.favorites.values()) > 5


def test_affinity_of_a_favourite_that_was_never_streamed(engine: Engine) -> None:
    # Tracks 0, 1 and 2; an artist of 1 and 2, an album of 2. One user loves all but track 0.
    logs = hand_logs(
        engine,
        [[3, 0, 0]],
        cold_day_one=[[1, 0, 0]],
        members=[[0, 1, 1], [0, 0, 1]],
        n_artists=1,
        n_albums=1,
        favorites=[[0, 0, 5, 1, 2]],
    )
    found = dense(engine, affinity(engine, logs, UtAlsConfig()))
    # Saying it five times does not make it more of a favourite.
    assert_allclose(found, [[math.log(4), 0.2, 2.0 + 0.2 + 0.5]], rtol=1e-6)


def two_tastes(engine: Engine) -> Any:
    """Forty users of which half play the first 6 tracks and half the others."""
    random = np.random.default_rng(0)
    history = np.zeros((40, 12))
    history[:20, :6] = random.integers(1, 4, (20, 6))
    history[20:, 6:] = random.integers(1, 4, (20, 6))
    return hand_logs(engine, history, cold_day_one=np.eye(2, 12))


PARAMETERS = UtAlsConfig(factors=4, iterations=6, regularization=0.1)


def test_fit(engine: Engine) -> None:
    steps: list[tuple[int, int]] = []
    space = UtAls.fit(
        engine, two_tastes(engine), PARAMETERS, 0, lambda done, of, text: steps.append((done, of))
    )
    users, tracks = engine.to_host(space.users), engine.to_host(space.tracks)
    assert space.name == "ut-als"
    assert space.dimension == 4
    assert (users.shape, tracks.shape) == ((40, 4), (12, 4))
    assert_allclose(np.linalg.norm(users, axis=1), 1, rtol=1e-5)
    assert np.abs(np.linalg.norm(tracks, axis=1) - 1).max() > 0.01  # as factorised, not made unit
    assert steps == [(i + 1, 6) for i in range(6)]
    assert len(space.losses) == 6
    assert space.losses[-1] < space.losses[0]
    liked = users @ tracks.T
    assert liked[:20, :6].min() > liked[:20, 6:].max() + 0.2
    assert liked[20:, 6:].min() > liked[20:, :6].max() + 0.2


def test_fit_depends_on_the_seed_only(engine: Engine) -> None:
    logs = two_tastes(engine)
    one, again, other = (
        UtAls.fit(engine, logs, PARAMETERS, seed, lambda done, of, text: None) for seed in (1, 1, 2)
    )
    assert_array_equal(engine.to_host(one.tracks), engine.to_host(again.tracks))
    assert_array_equal(engine.to_host(one.users), engine.to_host(again.users))
    assert np.abs(engine.to_host(one.tracks) - engine.to_host(other.tracks)).max() > 1e-3
