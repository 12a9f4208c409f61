"""Item-Item against one pair of tracks at a time in plain Python."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.strategies import item_item
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, World, lists


def first_day(world: World, seed: int = 0) -> HostArray:
    """What warm users streamed on registration day: some tracks that day alone, some again."""
    random = np.random.default_rng(seed)
    again = random.integers(0, 2, world.history.shape)
    there = random.random(world.history.shape) < 0.6
    day: HostArray = there * np.maximum(world.history - again, 0)
    return day


def expected(world: World, day: HostArray, shrinkage: float, kept: int) -> HostArray:
    """Every cold user's score of every track."""
    later = [set(np.flatnonzero(row)) for row in world.history - day]
    started = [set(np.flatnonzero(day[:, i])) for i in range(N_TRACKS)]
    share = world.popularity / N_WARM
    lift = np.zeros((N_TRACKS, N_TRACKS))
    for i, users in enumerate(started):
        counts = np.array([sum(j in later[user] for user in users) for j in range(N_TRACKS)])
        order = sorted(range(N_TRACKS), key=lambda j: (-(counts[j] ** 2) / share[j], j))
        counts[order[kept:]] = 0
        lift[i] = (counts + shrinkage * share) / ((len(users) + shrinkage) * share)
    scores = np.tile(share, (N_COLD, 1))
    for user, streams in enumerate(world.day_one):
        if streams.any():
            scores[user] *= lift[streams > 0].mean(axis=0)
    return scores


@pytest.mark.parametrize("shrinkage", [0.1, 5.0])
@pytest.mark.parametrize("kept", [1, 3, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("k", [1, 8, N_TRACKS])
def test_scores_are_popularity_times_mean_lift(
    engine: Engine, shrinkage: float, kept: int, seed: int, k: int
) -> None:
    world = World(seed)
    day = first_day(world, seed)
    stage = world.stage(engine, warm_day_one=day)
    strategy = stage.strategy("item-item", shrinkages=(shrinkage,), kept=kept)
    tracks, found = lists(engine, strategy.recommend(stage.users, k))
    scores = expected(world, day, shrinkage, kept)
    assert_allclose(found, -np.sort(-scores, axis=1)[:, :k], rtol=1e-5)
    assert_allclose(np.take_along_axis(scores, np.array(tracks), axis=1), found, rtol=1e-5)


def test_who_streamed_nothing_gets_the_chart(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine, warm_day_one=first_day(world))
    strategy = stage.strategy("item-item")
    tracks, scores = lists(engine, strategy.recommend(stage.some(3), N_TRACKS))
    assert tracks == [list(range(N_TRACKS))]
    assert_allclose(scores[0], world.popularity / N_WARM)


def test_tracks_nobody_began_with_give_the_chart(engine: Engine) -> None:
    """Without a warm user's registration day nothing is known of what follows a track."""
    world = World()
    stage = world.stage(engine)
    tracks, scores = lists(engine, stage.strategy("item-item").recommend(stage.users, N_TRACKS))
    assert tracks == [list(range(N_TRACKS))] * N_COLD
    assert_allclose(scores, np.tile(world.popularity / N_WARM, (N_COLD, 1)), rtol=1e-6)


def test_a_track_of_the_first_day_alone_is_not_streamed_later(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine, warm_day_one=world.history)  # nobody came back
    state = stage.strategy("item-item").state
    assert state.counts.nnz == 0
    assert_array_equal(engine.to_host(state.starts), world.popularity)


def test_the_kept_counts_are_whole_and_parts_change_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    stage = world.stage(engine, warm_day_one=first_day(world))
    whole = stage.strategy("item-item", kept=3)
    ranked = lists(engine, whole.recommend(stage.users, 8))
    counts = whole.state.counts
    assert np.diff(engine.to_host(counts.indptr)).max() == 3
    values = engine.to_host(counts.data)
    assert_array_equal(values, np.rint(values))
    monkeypatch.setattr(item_item, "_TRACKS", 3)
    monkeypatch.setattr(item_item, "_USERS", 2)
    parts = stage.strategy("item-item", kept=3)
    for name in ("indptr", "indices", "data"):
        one, other = (getattr(each.state.counts, name) for each in (whole, parts))
        assert_array_equal(engine.to_host(one), engine.to_host(other))
    again = lists(engine, parts.recommend(stage.users, 8))
    assert again[0] == ranked[0]
    assert_array_equal(again[1], ranked[1])


def test_the_best_shrinkage_is_kept(engine: Engine) -> None:
    ndcg = iter([0.2, 0.5, 0.4, 0.5])
    stage = World().stage(engine, score=lambda ranking: next(ndcg))
    state = stage.strategy("item-item", shrinkages=(0.1, 1.0, 10.0, 100.0)).state
    assert state.curve == (0.2, 0.5, 0.4, 0.5)
    assert state.shrinkage == 1.0
