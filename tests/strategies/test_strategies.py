"""Each way to recommend against one user at a time in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import gpu_coldstart.strategies
from gpu_coldstart import registry
from gpu_coldstart.batches import by_batches
from gpu_coldstart.config.parameters import STRATEGIES as NAMES
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, HostArray, Kmeans, KmeansOptions
from gpu_coldstart.errors import UserError
from gpu_coldstart.strategies import recommend
from tests.engine.test_ranking import naive_soft
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, World, counted_labels, lists
from tests.worlds import types

K = 8


def test_all_are_registered() -> None:
    assert registry.STRATEGIES.builtin == NAMES
    assert all(registry.STRATEGIES.get(name).name == name for name in NAMES)


# -- popularity ------------------------------------------------------------------------------------


def test_popularity(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine)
    tracks, scores = lists(engine, stage.strategy("popularity").recommend(stage.users, K))
    assert tracks == [list(range(K))] * N_COLD
    assert_allclose(scores, np.tile(world.popularity[:K] / N_WARM, (N_COLD, 1)), rtol=1e-6)


def test_popularity_as_a_share_of_listens(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine, popularity="listens")
    tracks, scores = lists(engine, stage.strategy("popularity").recommend(stage.users, N_TRACKS))
    assert tracks == [list(range(N_TRACKS))] * N_COLD
    assert_allclose(scores[0], world.popularity / world.popularity.sum(), rtol=1e-6)


# -- by embedding ----------------------------------------------------------------------------------


def similarities(world: World, query: HostArray, similarity: str) -> HostArray:
    found = world.tracks.astype(np.float64) @ query
    if similarity == "cosine":
        lengths = np.linalg.norm(world.tracks, axis=1) * np.linalg.norm(query)
        found = np.divide(found, lengths, out=np.zeros(N_TRACKS), where=lengths > 0)
    return found


def check_nearest(tracks: list[int], scores: HostArray, wanted: HostArray, k: int) -> None:
    """The best ``k``, in order; what is equal in exact arithmetic may differ by a rounding."""
    assert len(set(tracks)) == k
    assert_allclose(scores, np.sort(wanted)[::-1][:k], atol=1e-5)
    assert_allclose(scores, wanted[tracks], atol=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_full(engine: Engine, similarity: str) -> None:
    world = World()
    stage = world.stage(engine, similarity=similarity)
    tracks, scores = lists(engine, stage.strategy("full").recommend(stage.users, K))
    for i in range(N_COLD):
        wanted = similarities(world, world.predictions[i], similarity)
        check_nearest(tracks[i], scores[i], wanted, K)
        if similarity == "inner":  # exact, so that ties are ties
            order = sorted(range(N_TRACKS), key=lambda track: (-wanted[track], track))
            assert tracks[i] == order[:K]


def test_similarities_differ(engine: Engine) -> None:
    world = World()
    world.tracks *= np.arange(1, N_TRACKS + 1, dtype=np.float32)[:, None]
    one, other = (
        lists(engine, stage.strategy("full").recommend(stage.users, K))[0]
        for similarity in ("cosine", "inner")
        for stage in [world.stage(engine, similarity=similarity)]
    )
    assert one != other


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_registration_day(engine: Engine, similarity: str) -> None:
    world = World()
    stage = world.stage(engine, similarity=similarity)
    tracks, scores = lists(engine, stage.strategy("registration-day").recommend(stage.users, K))
    for i in range(N_COLD):
        streams = world.day_one[i]
        query = np.zeros(world.tracks.shape[1])
        for track in np.flatnonzero(streams):
            query += streams[track] * world.tracks[track] / streams.sum()
        if i in (3, 5):  # nothing streamed, or nothing with a place in the space: the chart
            assert not query.any()
            assert tracks[i] == list(range(K))
            assert_allclose(scores[i], world.popularity[:K] / N_WARM, rtol=1e-6)
        else:
            assert query.any()
            check_nearest(tracks[i], scores[i], similarities(world, query, similarity), K)


@pytest.mark.parametrize("similarity", ["cosine", "inner"])
def test_without_a_fallback_whoever_streamed_nothing_gets_zeros(
    engine: Engine, similarity: str
) -> None:
    stage = World().stage(engine, similarity=similarity)
    tracks, scores = lists(engine, stage.strategy("registration-day").recommend(stage.users, K))
    without = stage.strategy("registration-day", fallback="none")
    others, zeros = lists(engine, without.recommend(stage.users, K))
    assert others == tracks, "by the one tie rule, what scores 0 throughout is the chart"
    placed = [i for i in range(N_COLD) if i not in {3, 5}]
    assert_array_equal(zeros[placed], scores[placed])
    assert_array_equal(zeros[[3, 5]], 0)
    assert (scores[[3, 5]] > 0).all()


# -- by segment ------------------------------------------------------------------------------------


def naive_favourites(shares: HostArray, k: int) -> list[int]:
    """By share, then popularity; a segment that knows fewer tracks is completed by the chart."""
    return sorted(range(len(shares)), key=lambda track: (-shares[track], track))[:k]


def test_semi(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine)
    tracks, scores = lists(engine, stage.strategy("semi").recommend(stage.users, K))
    seen = set()
    for i in range(N_COLD):
        away = [float(np.square(world.predictions[i] - c).sum()) for c in world.centroids]
        segment = away.index(min(away))
        seen.add(segment)
        assert tracks[i] == naive_favourites(world.shares[segment], K)
        assert_array_equal(scores[i], world.shares[segment][tracks[i]])
    assert len(seen) > 1


def test_semi_completes_a_small_segment_by_the_chart(engine: Engine) -> None:
    world = World()
    world.predictions[0] = world.centroids[2]
    stage = world.stage(engine)
    tracks, scores = lists(engine, stage.strategy("semi").recommend(stage.some(0), K))
    assert tracks == [[13, 11, 17, 0, 1, 2, 3, 4]]
    assert scores.tolist() == [[1.0, 0.5, 0.5, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(("n_segments", "overshoot"), [(1, 0), (3, 4), (4, 0), (9, 2)])
def test_soft(engine: Engine, n_segments: int, overshoot: int) -> None:
    world = World()
    stage = world.stage(engine)
    strategy = stage.strategy("soft", segments=n_segments, overshoot=overshoot)
    tracks, scores = lists(engine, strategy.recommend(stage.users, K))
    for i in range(N_COLD):
        away = [
            math.sqrt(float(np.square(world.predictions[i].astype(float) - c).sum()))
            for c in world.centroids
        ]
        near = sorted(range(len(away)), key=lambda segment: away[segment])[:n_segments]
        total = sum(1 / away[segment] for segment in near)
        weights = [1 / away[segment] / total for segment in near]
        wanted, blend = naive_soft(near, weights, world.shares, K, overshoot)
        assert set(tracks[i]) == set(wanted)
        assert_allclose(scores[i], blend, rtol=1e-4)


def test_soft_on_a_centroid_is_semi(engine: Engine) -> None:
    world = World()
    world.predictions[0] = world.centroids[1]
    stage = world.stage(engine)
    soft, semi = (
        lists(engine, strategy.recommend(stage.some(0), 5))[0]
        for strategy in (stage.strategy("soft", overshoot=0), stage.strategy("semi"))
    )
    assert soft == semi


# -- input features --------------------------------------------------------------------------------


def grouped_world() -> World:
    """Warm users of two kinds by their country alone, which no embedding tells apart."""
    world = World()
    world.users[:] = 1.0
    world.history = np.zeros((N_WARM, N_TRACKS), int)
    world.history[::2, :4] = 1
    world.history[1::2, 4:8] = 1
    world.history[:, 0] = 1  # the tracks of both kinds must come out most popular first
    return world


def test_input_features(engine: Engine) -> None:
    world = grouped_world()
    # Scalars of 5 favourites or of 5 bans set two kinds of warm and of cold users apart.
    scalars = np.zeros((N_WARM + N_COLD, 19), np.float32)
    kind = np.arange(N_WARM + N_COLD) % 2
    scalars[kind == 0, 1] = 5
    scalars[kind == 1, 8] = 5
    stage = world.stage(engine).scaled(scalars)
    strategy = stage.strategy("input-features", k=2)
    tracks, scores = lists(engine, strategy.recommend(stage.users, K))
    for i in range(N_COLD):
        alike = kind[:N_WARM] == kind[N_WARM + i]
        shares = (world.history[alike] > 0).mean(axis=0)
        assert tracks[i] == naive_favourites(shares, K)
        assert_allclose(scores[i], shares[tracks[i]], rtol=1e-6)
    assert tracks[0] != tracks[1]


def test_input_features_are_made_unit(engine: Engine) -> None:
    # Two directions, each near and far: only lengths would put the far ones together.
    world = grouped_world()
    scalars = np.zeros((N_WARM + N_COLD, 19), np.float32)
    kind, far = np.arange(N_WARM + N_COLD) % 2, np.arange(N_WARM + N_COLD) % 4 > 1
    scalars[kind == 0, 1] = scalars[kind == 1, 8] = 1
    scalars *= np.where(far, 1e6, 1e3)[:, None].astype(np.float32)
    stage = world.stage(engine).scaled(scalars)
    strategy = stage.strategy("input-features", k=2)
    tracks, _ = lists(engine, strategy.recommend(stage.users, 4))
    for i in range(N_COLD):
        shares = (world.history[kind[:N_WARM] == kind[N_WARM + i]] > 0).mean(axis=0)
        assert tracks[i] == naive_favourites(shares, 4)


def test_input_features_of_one_segment_is_the_chart(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine)
    strategy = stage.strategy("input-features", k=1)
    tracks, scores = lists(engine, strategy.recommend(stage.users, K))
    assert tracks == [list(range(K))] * N_COLD
    assert_allclose(scores[0], world.popularity[:K] / N_WARM, rtol=1e-6)


def test_input_features_as_a_share_of_listens(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine, popularity="listens")
    strategy = stage.strategy("input-features", k=1)
    tracks, scores = lists(engine, strategy.recommend(stage.users, K))
    assert tracks == [list(range(K))] * N_COLD
    assert_allclose(scores[0], world.popularity[:K] / world.popularity.sum(), rtol=1e-6)


@pytest.mark.parametrize(("each", "learned_from"), [(1, 3), (2, 6), (0, N_WARM), (9, N_WARM)])
def test_input_features_learn_from_a_sample(
    engine: Engine, each: int, learned_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    usual = type(engine).kmeans

    def noting(self: Engine, points: Array, options: KmeansOptions) -> Kmeans:
        sizes.append(len(points))
        return usual(self, points, options)

    monkeypatch.setattr(type(engine), "kmeans", noting)
    counted = counted_labels(monkeypatch)
    World().stage(engine).strategy("input-features", k=3, points=each)
    assert sizes == [learned_from]
    labels = engine.to_host(counted[0])
    assert types(labels) == ["int32"]
    assert labels.shape == (N_WARM,)
    assert set(labels.tolist()) == {0, 1, 2}


def test_input_features_never_cut_more_segments_than_users(engine: Engine) -> None:
    stage = World().stage(engine)
    strategy = stage.strategy("input-features", k=500)
    tracks, _ = lists(engine, strategy.recommend(stage.users, K))
    assert all(len(set(row)) == K for row in tracks)


# -- what holds for all ----------------------------------------------------------------------------

OPTIONS: dict[str, dict[str, Any]] = {"input-features": {"k": 3}}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("k", [1, 7, N_TRACKS])
def test_lists_are_whole_and_descend(engine: Engine, name: str, k: int) -> None:
    stage = World().stage(engine)
    strategy = stage.strategy(name, **OPTIONS.get(name, {}))
    tracks, scores = lists(engine, recommend(strategy, stage.users, k))
    assert scores.shape == (N_COLD, k)
    for row, values in zip(tracks, scores, strict=True):
        assert len(set(row)) == k
        assert all(0 <= track < N_TRACKS for track in row)
        assert (np.diff(values) <= 0).all()
        for i in np.flatnonzero(np.diff(values) == 0):  # the one tie rule
            assert row[i] < row[i + 1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("exclude", [False, True])
def test_a_list_does_not_depend_on_the_other_users(
    engine: Engine, name: str, exclude: bool
) -> None:
    """Any users, in any order, alone or twice, get the lists that they get among all, bit for bit.

    Many tracks score the same, so that a rounding which depends on the company would swap them.
    """
    stage = World().stage(engine)
    strategy = stage.strategy(name, **OPTIONS.get(name, {}))
    whole, scores = lists(engine, recommend(strategy, stage.users, K, exclude_seen=exclude))
    groups = [[i] for i in range(N_COLD)]
    groups += [[6, 2, 2], [0, 1, 3, 5], list(range(N_COLD))[::-1]]
    for group in groups:
        some = recommend(strategy, stage.some(*group), K, exclude_seen=exclude)
        tracks, some_scores = lists(engine, some)
        assert tracks == [whole[i] for i in group]
        assert_array_equal(some_scores, scores[group])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("exclude", [False, True])
def test_batches_change_nothing(
    engine: Engine, name: str, exclude: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = World().stage(engine)
    strategy = stage.strategy(name, **OPTIONS.get(name, {}))
    whole, scores = lists(engine, recommend(strategy, stage.users, 5, exclude_seen=exclude))
    done: list[int] = []
    monkeypatch.setattr(
        gpu_coldstart.strategies,
        "by_batches",
        lambda *args, **options: by_batches(*args, **options, size=3),
    )
    parts, part_scores = lists(
        engine,
        recommend(strategy, stage.users, 5, exclude_seen=exclude, progress=done.append),
    )
    assert parts == whole
    assert_array_equal(part_scores, scores)
    assert done == [3, 6, 7]


@pytest.mark.parametrize("name", NAMES)
def test_nobody_to_recommend_to(engine: Engine, name: str) -> None:
    stage = World().stage(engine)
    strategy = stage.strategy(name, **OPTIONS.get(name, {}))
    nobody = stage.users.take(slice(0, 0))
    tracks, scores = lists(engine, recommend(strategy, nobody, K))
    assert (tracks, scores.shape) == ([], (0, K))


@pytest.mark.parametrize("name", NAMES)
def test_exclude_seen(engine: Engine, name: str) -> None:
    world = World()
    stage = world.stage(engine)
    strategy = stage.strategy(name, **OPTIONS.get(name, {}))
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
    world, n_others = World(), 4
    before = world.stage(engine)
    world.day_one[n_others:] = 3
    after = world.stage(engine, n_target=N_COLD - n_others)
    assert after.past.logs.n_test + after.past.logs.n_validation == n_others
    one, other = (
        lists(
            engine,
            recommend(
                stage.strategy(name, **OPTIONS.get(name, {})),
                stage.users if stage is after else stage.users.take(slice(n_others)),
                K,
            ),
        )
        for stage in (before, after)
    )
    assert one[0] == other[0][:n_others]
    assert_array_equal(one[1], other[1][:n_others])
