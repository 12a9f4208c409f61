"""What holds for the lists of every strategy."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import gpu_coldstart.strategies
from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, Kmeans, KmeansOptions
from gpu_coldstart.errors import UserError
from gpu_coldstart.strategies import Strategy, recommend
from tests.builtin import EVERY_STRATEGY as NAMES
from tests.strategies.contexts import N_COLD, N_TRACKS, SMALL, Stage, World, lists

K = 8


OPTIONS: dict[str, dict[str, Any]] = SMALL | {
    "input-features": {"k": 3},
    # cuML does not number segments twice alike where there are as many as users.
    "gate": {"segments": (2, 3)},
}


@cache
def known(engine: Engine, name: str) -> tuple[World, Stage, Strategy]:
    """A strategy, fitted once for all tests that change nothing of it."""
    world = World()
    stage = world.stage(engine)
    return world, stage, stage.strategy(name, **OPTIONS.get(name, {}))


@pytest.fixture(autouse=True)
def one_clustering(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same points are clustered once: cuML does not find the same segments again."""
    cluster = engine.kmeans

    def remembered(points: Array, options: KmeansOptions) -> Kmeans:
        key = (engine.name, engine.to_host(points).tobytes(), options)
        if key not in _CLUSTERED:
            _CLUSTERED[key] = cluster(points, options)
        return _CLUSTERED[key]

    monkeypatch.setattr(engine, "kmeans", remembered)


_CLUSTERED: dict[tuple[str, bytes, KmeansOptions], Kmeans] = {}


@pytest.mark.parametrize("name", NAMES)
def test_lists_are_whole_and_descend(engine: Engine, name: str) -> None:
    _, stage, strategy = known(engine, name)
    for k in (1, 7, N_TRACKS):
        tracks, scores = lists(engine, recommend(strategy, stage.users, k))
        assert scores.shape == (N_COLD, k)
        for row, values in zip(tracks, scores, strict=True):
            assert len(set(row)) == k
            assert all(0 <= track < N_TRACKS for track in row)
            assert (np.diff(values) <= 0).all()
            for i in np.flatnonzero(np.diff(values) == 0):  # the one tie rule
                assert row[i] < row[i + 1]


@pytest.mark.parametrize("name", NAMES)
def test_a_list_does_not_depend_on_the_other_users(engine: Engine, name: str) -> None:
    """Any users, in any order, alone or twice, get the lists that they get among all, bit for bit.

    Many tracks score the same, so that a rounding which depends on the company would swap them.
    """
    _, stage, strategy = known(engine, name)
    groups = [[i] for i in range(N_COLD)]
    groups += [[6, 2, 2], [0, 1, 3, 5], list(range(N_COLD))[::-1]]
    for exclude in (False, True):
        whole, scores = lists(engine, recommend(strategy, stage.users, K, exclude_seen=exclude))
        for group in groups:
            some = recommend(strategy, stage.some(*group), K, exclude_seen=exclude)
            tracks, some_scores = lists(engine, some)
            assert tracks == [whole[i] for i in group]
            assert_array_equal(some_scores, scores[group])


@pytest.mark.parametrize("name", NAMES)
def test_batches_change_nothing(engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stage, strategy = known(engine, name)
    both = (False, True)
    whole = [
        lists(engine, recommend(strategy, stage.users, 5, exclude_seen=exclude)) for exclude in both
    ]
    monkeypatch.setattr(
        gpu_coldstart.strategies,
        "by_batches",
        lambda *args, **options: by_batches(*args, **options, size=3),
    )
    for (tracks, scores), exclude in zip(whole, both, strict=True):
        done: list[int] = []
        parts, part_scores = lists(
            engine,
            recommend(strategy, stage.users, 5, exclude_seen=exclude, progress=done.append),
        )
        assert parts == tracks
        assert_array_equal(part_scores, scores)
        assert done == [3, 6, 7]


@pytest.mark.parametrize("name", NAMES)
def test_nobody_to_recommend_to(engine: Engine, name: str) -> None:
    _, stage, strategy = known(engine, name)
    nobody = stage.users.take(slice(0, 0))
    tracks, scores = lists(engine, recommend(strategy, nobody, K))
    assert (tracks, scores.shape) == ([], (0, K))


@pytest.mark.parametrize("name", NAMES)
def test_exclude_seen(engine: Engine, name: str) -> None:
    world, stage, strategy = known(engine, name)
    tracks, scores = lists(engine, recommend(strategy, stage.users, K, exclude_seen=True))
    longest, long_scores = lists(engine, strategy.recommend(stage.users, N_TRACKS))
    repeated = 0
    for i in range(N_COLD):
        seen = set(np.flatnonzero(world.day_one[i]).tolist())
        assert not seen & set(tracks[i])
        assert len(set(tracks[i])) == K
        repeated += bool(seen & set(longest[i][:K]))
        if name != "soft":  # which shares out anew what is asked of it
            kept = [place for place, track in enumerate(longest[i]) if track not in seen][:K]
            assert tracks[i] == [longest[i][place] for place in kept]
            assert_allclose(scores[i], long_scores[i][kept], atol=1e-6)
    assert repeated, "nobody would have been recommended anything again"


def test_exclude_seen_needs_tracks_enough(engine: Engine) -> None:
    world = World()
    world.day_one[1] = 1
    stage = world.stage(engine)
    strategy = stage.strategy("popularity")
    with pytest.raises(UserError, match=f"streamed {N_TRACKS} tracks on registration day"):
        recommend(strategy, stage.users, K, exclude_seen=True)


@pytest.mark.parametrize("name", NAMES)
def test_targets_change_nobody_elses_list(engine: Engine, name: str) -> None:
    """Neither being a target nor what targets stream moves the lists of test users."""
    n_others, world = 4, World()
    _, before, fitted = known(engine, name)
    world.day_one[n_others:] = 3
    after = world.stage(engine, n_target=N_COLD - n_others)
    assert after.past.logs.n_test + after.past.logs.n_validation == n_others
    one, other = (
        lists(
            engine,
            recommend(strategy, users, K),
        )
        for strategy, users in (
            (fitted, before.users.take(slice(n_others))),
            (after.strategy(name, **OPTIONS.get(name, {})), after.users),
        )
    )
    assert one[0] == other[0][:n_others]
    assert_array_equal(one[1], other[1][:n_others])
