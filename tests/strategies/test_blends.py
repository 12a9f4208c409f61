"""Mixture, Nearest Neighbours and ALS fold-in against one user at a time in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.strategies import Ranking, tuning
from tests.strategies.contexts import N_COLD, N_SEGMENTS, N_TRACKS, N_WARM, D, World, lists

K = 8


def ranked(scores: HostArray, k: int = K) -> tuple[list[list[int]], HostArray]:
    """The best tracks by a score of every track; equals by number."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order.tolist(), np.take_along_axis(scores, order, axis=1)


def agree(engine: Engine, ranking: Ranking, scores: HostArray) -> None:
    """Whether lists have the best scores, and tracks of these scores."""
    tracks, found = lists(engine, ranking)
    assert_allclose(found, ranked(scores)[1], rtol=1e-5, atol=1e-6)
    assert_allclose(np.take_along_axis(scores, np.array(tracks), axis=1), found, 1e-5, 1e-6)


def softly(
    predictions: HostArray, points: HostArray, rows: HostArray, n: int, sharpness: float
) -> HostArray:
    """Every user's blend of the rows of the ``n`` nearest points."""
    blends = np.zeros((len(predictions), rows.shape[1]))
    places = predictions[:2].astype(float)  # of the two validation users
    unit = np.mean([((points - each) ** 2).sum(axis=1).min() for each in places])
    for user, place in enumerate(predictions.astype(float)):
        squares = ((points - place) ** 2).sum(axis=1)
        nearest = np.argsort(squares, kind="stable")[:n]
        weights = np.exp(-sharpness / unit * (squares[nearest] - squares[nearest[0]]))
        blends[user] = weights @ rows[nearest] / weights.sum()
    return blends


@pytest.mark.parametrize("n", [1, 3, 50])
@pytest.mark.parametrize("sharpness", [0.5, 8.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_mixture_weighs_segments_by_distance(
    engine: Engine, n: int, sharpness: float, seed: int
) -> None:
    world = World(seed)
    stage = world.stage(engine)
    strategy = stage.strategy("mixture", segments=n, sharpnesses=(sharpness,))
    blends = softly(world.predictions, world.centroids, world.shares, n, sharpness)
    agree(engine, strategy.recommend(stage.users, K), blends)
    found = strategy.segments_of(stage.users)
    assert found is not None
    segments, weights = map(engine.to_host, found)
    assert segments.shape == (N_COLD, min(n, N_SEGMENTS))
    assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert (np.diff(weights, axis=1) <= 0).all()


@pytest.mark.parametrize("n", [1, 3, 500])
@pytest.mark.parametrize("sharpness", [0.5, 8.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_neighbours_are_the_nearest_warm_users(
    engine: Engine, n: int, sharpness: float, seed: int
) -> None:
    world = World(seed)
    world.users = np.random.default_rng(seed).normal(size=(N_WARM, D)).astype(np.float32)
    stage = world.stage(engine)
    strategy = stage.strategy("neighbours", users=n, sharpnesses=(sharpness,))
    blends = softly(world.predictions, world.users, world.history > 0, n, sharpness)
    agree(engine, strategy.recommend(stage.users, K), blends)


@pytest.mark.parametrize("name", ["mixture", "neighbours"])
def test_the_best_sharpness_is_kept(engine: Engine, name: str) -> None:
    ndcg = iter([0.2, 0.5, 0.4, 0.5])
    stage = World().stage(engine, score=lambda ranking: next(ndcg))
    strategy = stage.strategy(name, sharpnesses=(0.1, 1.0, 10.0, 100.0))
    assert strategy.state.curve == (0.2, 0.5, 0.4, 0.5)
    alone = World().stage(engine).strategy(name, sharpnesses=(1.0,))
    assert strategy.state.sharpness == alone.state.sharpness > 0


def test_predictions_on_the_centroids_leave_the_unit_at_one(engine: Engine) -> None:
    world = World()
    world.predictions[:2] = world.centroids[:2]
    assert World.stage(world, engine).strategy("mixture", sharpnesses=(3.0,)).state.sharpness == 3


@pytest.mark.parametrize("name", ["mixture", "neighbours"])
def test_batches_change_nothing(engine: Engine, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = World().stage(engine)
    whole, scores = lists(engine, stage.strategy(name).recommend(stage.users, K))
    monkeypatch.setattr(tuning, "_BATCH", 3)
    tracks, same = lists(engine, stage.strategy(name).recommend(stage.users, K))
    assert tracks == whole
    assert_array_equal(same, scores)


# -- ALS fold-in -----------------------------------------------------------------------------------


def folded(world: World, confidence: float, regularization: float) -> HostArray:
    """Every user's score of every track, by the normal equations; the chart where none streamed."""
    tracks = world.tracks.astype(float)
    scores = np.tile(world.popularity / N_WARM, (N_COLD, 1))
    for user, counts in enumerate(world.day_one):
        extra = confidence * np.log1p(counts)
        system = (tracks * (1 + extra)[:, None]).T @ tracks + regularization * np.eye(D)
        factors = np.linalg.solve(system, tracks.T @ ((1 + extra) * (counts > 0)))
        if factors.any():
            scores[user] = tracks @ factors
    return scores


@pytest.mark.parametrize(("confidence", "regularization"), [(10.0, 10.0), (0.5, 0.1), (100, 3)])
@pytest.mark.parametrize("seed", [0, 1])
def test_streams_are_folded_in_exactly(
    engine: Engine, confidence: float, regularization: float, seed: int
) -> None:
    world = World(seed)
    world.day_one[6] = 1  # more tracks than are solved at once in the smallest system
    stage = world.stage(engine)
    strategy = stage.strategy("als-fold-in", confidence=confidence, regularization=regularization)
    scores = folded(world, confidence, regularization)
    agree(engine, strategy.recommend(stage.users, K), scores)
    tracks, _ = lists(engine, strategy.recommend(stage.some(3, 5), N_TRACKS))
    assert tracks == [list(range(N_TRACKS))] * 2  # who streamed nothing that has a place
