"""Each way to recommend against one user at a time in plain Python."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart import registry
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, HostArray, Kmeans, KmeansOptions
from tests.builtin import EVERY_STRATEGY as NAMES
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
    if similarity == "distance":
        squares = ((world.tracks - query) ** 2).sum(axis=1)
        lengths = (world.tracks**2).sum(axis=1)
        # A null track counts as if it lay aside, at twice the length of the longest.
        squares[lengths == 0] = query @ query + 4 * lengths.max()
        found = (query @ query - squares) / 2
    if similarity == "cosine":
        lengths = np.linalg.norm(world.tracks, axis=1) * np.linalg.norm(query)
        found = np.divide(found, lengths, out=np.zeros(N_TRACKS), where=lengths > 0)
    return found


def check_nearest(tracks: list[int], scores: HostArray, wanted: HostArray, k: int) -> None:
    """The best ``k``, in order; what is equal in exact arithmetic may differ by a rounding."""
    assert len(set(tracks)) == k
    assert_allclose(scores, np.sort(wanted)[::-1][:k], atol=1e-5)
    assert_allclose(scores, wanted[tracks], atol=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "inner", "distance"])
def test_full(engine: Engine, similarity: str) -> None:
    world = World()
    stage = world.stage(engine, similarity=similarity)
    tracks, scores = lists(engine, stage.strategy("full").recommend(stage.users, K))
    for i in range(N_COLD):
        wanted = similarities(world, world.predictions[i], similarity)
        check_nearest(tracks[i], scores[i], wanted, K)
        if similarity != "cosine":  # exact, so that ties are ties
            order = sorted(range(N_TRACKS), key=lambda track: (-wanted[track], track))
            assert tracks[i] == order[:K]


def test_similarities_differ(engine: Engine) -> None:
    world = World()
    world.tracks *= np.arange(1, N_TRACKS + 1, dtype=np.float32)[:, None]
    found = [
        lists(engine, stage.strategy("full").recommend(stage.users, K))[0]
        for similarity in ("cosine", "inner", "distance")
        for stage in [world.stage(engine, similarity=similarity)]
    ]
    assert all(one != other for one, other in combinations(found, 2))


@pytest.mark.parametrize("similarity", ["cosine", "inner", "distance"])
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
