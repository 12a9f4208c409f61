"""Gate against one user at a time in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.streams import GateConfig
from gpu_coldstart.data.signals import BLOCKS
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import Array, HostArray, Kmeans
from gpu_coldstart.errors import UserError
from gpu_coldstart.models.gate import GateTraining, Likelihood
from gpu_coldstart.models.streams import block_scale
from gpu_coldstart.segments import cluster
from gpu_coldstart.strategies import Ranking, gate
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, D, Stage, World, arrays_of, lists
from tests.worlds import sparse

K = 8
QUICK: dict[str, Any] = {"segments": (2, 3), "epochs": 3, "hidden": 5}


def staged(engine: Engine, seed: int = 0, **more: Any) -> tuple[World, Stage]:
    """A world whose warm users did something on registration day, and a place in the space."""
    world, random = World(seed), np.random.default_rng(seed)
    world.users = random.normal(size=(N_WARM, D)).astype(np.float32)
    first_day = world.history * (random.random(world.history.shape) < 0.5)
    return world, world.stage(engine, warm_day_one=first_day, **more)


def labelled(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> list[HostArray]:
    """Collect the segments of the warm users, which a strategy does not keep."""
    found: list[HostArray] = []

    def noting(*arguments: Any) -> Kmeans:
        clusters = cluster(*arguments)
        found.append(engine.to_host(clusters.labels))
        return clusters

    monkeypatch.setattr(gate, "cluster", noting)
    return found


def softmax(logits: HostArray) -> HostArray:
    powers = np.exp(logits - logits.max())
    shares: HostArray = powers / powers.sum()
    return shares


def weights_of(engine: Engine, state: Any, vector: HostArray) -> HostArray:
    """Of each segment, for one input vector."""
    network = state.network
    first, first_offset, last, last_offset = arrays_of(engine, network)
    logits = np.maximum(vector @ first + first_offset, 0) @ last + last_offset
    cuts = np.cumsum(network.groups)[:-1]
    return np.concatenate([softmax(part) for part in np.split(logits, cuts)]) / len(network.groups)


@pytest.mark.parametrize("smoothing", [0.1, 3.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_lists_follow_from_weights_and_popularities(
    engine: Engine, smoothing: float, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, stage = staged(engine, seed)
    labels = labelled(monkeypatch, engine)
    strategy = stage.strategy("gate", smoothing=smoothing, **QUICK)
    state = strategy.state
    assert (state.network.groups, len(labels)) == ((2, 3), 2)
    # The popularity in each segment, with some users more who are like all.
    seen = (world.history > 0).astype(float)
    columns = []
    for k, mine in zip(state.network.groups, labels, strict=True):
        for segment in range(k):
            counts = seen[mine == segment].sum(axis=0) + smoothing * seen.mean(axis=0)
            columns.append(counts / counts.sum())
    popularity = np.array(columns).T
    assert_allclose(engine.to_host(state.popularity), popularity, rtol=1e-5)
    vectors = engine.to_host(stage.users.vectors())
    tracks, scores = lists(engine, strategy.recommend(stage.users, K))
    for user in range(N_COLD):
        expected = popularity @ weights_of(engine, state, vectors[user].astype(float))
        assert_allclose(scores[user], np.sort(expected)[::-1][:K], rtol=1e-4)
        assert_allclose(expected[tracks[user]], scores[user], rtol=1e-4)


@pytest.mark.parametrize("most", [1, 3, 64])
def test_the_loss_is_the_mean_of_each_users_mean(engine: Engine, most: int) -> None:
    world, random = World(), np.random.default_rng(0)
    popularity = random.random((N_TRACKS, 5)).astype(np.float32)
    weights = random.dirichlet(np.ones(5), N_WARM).astype(np.float32)
    plays = sparse(engine, world.history)
    likelihood = Likelihood(engine, plays, engine.asarray(popularity), (2, 3), most)
    users = [7, 0, 3]

    def loss(shift: float) -> float:
        arrays = weights[users], np.array(users), np.full(3, shift, np.float32)
        moved = (engine.to_torch(engine.asarray(array)) for array in arrays)
        return float(likelihood.loss(*moved))

    wanted = []
    for user in users:
        mine = np.flatnonzero(world.history[user])
        for part in (slice(2), slice(2, 5)):
            mixed = 2 * popularity[mine, part] @ weights[user, part]  # each resolution's own sum
            wanted.append(-np.log(mixed).mean())
    # Over all shifts, each track of a user counts as much; few enough are all there at any.
    shifts = (np.arange(840) + 0.5) / 840 if most < N_TRACKS else [0.0, 0.9]
    losses = [loss(shift) for shift in shifts]
    assert_allclose(np.mean(losses), np.mean(wanted), rtol=1e-3)
    if most > N_TRACKS:
        assert_allclose(losses, np.mean(wanted), rtol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_training_makes_the_tracks_more_likely(engine: Engine, dropout: float) -> None:
    _, stage = staged(engine)
    options = GateConfig(learning_rate=0.01, dropout=dropout, **QUICK)
    popularity = np.random.default_rng(0).random((N_TRACKS, 5)).astype(np.float32)
    inputs = stage.past.inputs
    training = GateTraining(
        engine,
        inputs,
        engine.asarray(np.ones(inputs.width, np.float32)),
        plays=stage.past.logs.plays,
        popularity=engine.asarray(popularity / popularity.sum(axis=0)),
        sizes=(2, 3),
        options=options,
        seed=0,
    )
    losses = [training.epoch(epoch) for epoch in range(30)]
    assert np.mean(losses[-5:]) < losses[0] - 0.01


def test_users_without_a_stream_that_counts_take_no_part(engine: Engine) -> None:
    world, stage = staged(engine)
    kept = world.history * (np.arange(N_WARM) % 3 > 0)[:, None]
    found = []
    for plays in (kept, np.zeros_like(kept)):
        inputs = stage.past.inputs
        training = GateTraining(
            engine,
            inputs,
            engine.asarray(np.ones(inputs.width, np.float32)),
            plays=sparse(engine, plays),
            popularity=engine.asarray(np.full((N_TRACKS, 5), 1 / N_TRACKS, np.float32)),
            sizes=(2, 3),
            options=GateConfig(**QUICK),
            seed=0,
        )
        found.append(training.epoch(0))
        assert all(np.isfinite(each).all() for each in arrays_of(engine, training.learned()))
    assert_allclose(found, [np.log(N_TRACKS), 0], rtol=1e-5)


def test_blocks_are_scaled_to_one(engine: Engine) -> None:
    _, stage = staged(engine)
    vectors = engine.to_host(stage.past.inputs.batch(engine.xp.arange(N_WARM))).astype(float)
    scale = engine.to_host(block_scale(engine, stage.past.inputs, N_WARM))
    squares = ((vectors * scale) ** 2).mean(axis=0)
    blocks = squares[:-19].reshape(len(BLOCKS), D)
    for part, raw in ((blocks.mean(axis=1), vectors[:, :-19]), (squares[-19:], vectors[:, -19:])):
        known = np.split((raw**2).mean(axis=0), len(part))
        assert_allclose(part, [float(each.any()) for each in known], atol=1e-5)


@pytest.mark.parametrize(("patience", "epochs"), [(2, 4), (1, 3), (0, 6)])
def test_the_best_epoch_is_kept(engine: Engine, patience: int, epochs: int) -> None:
    values = [0.2, 0.5, 0.4, 0.5, 0.6, 0.1]
    ndcg = iter(values)
    rankings: list[Ranking] = []

    def score(ranking: Ranking) -> float:
        rankings.append(ranking)
        return next(ndcg)

    quick = QUICK | {"learning_rate": 0.01}
    _, stage = staged(engine, score=score)
    state = stage.strategy("gate", **quick | {"epochs": 6, "patience": patience}).state
    assert state.curve == tuple(values[:epochs])
    best = 2 if patience else 6
    alone = staged(engine)[1].strategy("gate", **quick | {"epochs": best, "patience": 0}).state
    for kept, only in zip(*(arrays_of(engine, one.network) for one in (state, alone)), strict=True):
        assert_array_equal(kept, only)
    assert [len(ranking.tracks) for ranking in rankings] == [2] * epochs  # the validation users


def test_no_more_segments_than_warm_users(engine: Engine) -> None:
    _, stage = staged(engine)
    state = stage.strategy("gate", **QUICK | {"segments": (2, 50, 70)}).state
    assert state.network.groups == (2, N_WARM)


def test_more_than_the_memory_holds_is_refused(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, stage = staged(engine)
    monkeypatch.setattr(engine, "resident_bytes", 4 * N_TRACKS * 5 - 1)
    with pytest.raises(UserError, match=r"strategies\.gate_segments.* asks for 5 segments"):
        stage.strategy("gate", **QUICK)
    monkeypatch.setattr(engine, "resident_bytes", 4 * N_TRACKS * 5)
    stage.strategy("gate", **QUICK)


def test_the_seeds_of_others_are_left_alone(engine: Engine) -> None:
    torch.manual_seed(5)
    before: Array = torch.get_rng_state()
    staged(engine)[1].strategy("gate", **QUICK)
    assert torch.equal(torch.get_rng_state(), before)
