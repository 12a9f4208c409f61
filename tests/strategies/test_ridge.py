"""Ridge against the normal equations, solved densely and independently."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart.data.signals import BLOCKS
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.strategies import Ranking
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, Stage, World, arrays_of, lists

WIDTH = len(World().tracks[0]) * len(BLOCKS) + 19


def vectors(engine: Engine, stage: Stage, first: int, stop: int) -> HostArray:
    users = engine.asarray(np.arange(first, stop))
    return engine.to_host(stage.past.inputs.batch(users)).astype(np.float64)


def expected(engine: Engine, stage: Stage, streamed: HostArray, strength: float) -> HostArray:
    """Every cold user's score of every track, by the dual form: users by users."""
    warm = vectors(engine, stage, 0, N_WARM)
    cold = vectors(engine, stage, N_WARM, N_WARM + N_COLD)
    centred, placed = warm - warm.mean(axis=0), cold - warm.mean(axis=0)
    d = len(World().tracks[0])
    blocks = [range(i * d, (i + 1) * d) for i in range(len(BLOCKS))]
    for block in [*blocks, *([i] for i in range(WIDTH - 19, WIDTH))]:
        spread = (centred[:, block] ** 2).mean(axis=0).sum() * (19 if len(block) == 1 else 1)
        factor = spread**-0.5 if spread > 1e-9 else 0.0
        centred[:, block] *= factor
        placed[:, block] *= factor
    placed[:, (centred == 0).all(axis=0)] = 0  # of what never varied nothing is learned
    seen = (streamed > 0).astype(float)
    kernel = centred @ centred.T + N_WARM * strength * np.eye(N_WARM)
    weights = np.linalg.solve(kernel, seen - seen.mean(axis=0))
    scores: HostArray = seen.mean(axis=0) + placed @ centred.T @ weights
    return scores


def scores_of(engine: Engine, stage: Stage, **parameters: object) -> HostArray:
    ranking = stage.strategy("ridge", **parameters).recommend(stage.users, N_TRACKS)
    tracks, values = lists(engine, ranking)
    scores = np.empty((N_COLD, N_TRACKS))
    np.put_along_axis(scores, np.asarray(tracks), values, axis=1)
    return scores


@pytest.mark.parametrize("strength", [0.01, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("target", ["all", "month"])
def test_scores_solve_the_normal_equations(
    engine: Engine, strength: float, seed: int, target: str
) -> None:
    world = World(seed)
    month = world.history * (np.random.default_rng(9).random(world.history.shape) < 0.7)
    # What warm users did on their own registration day, which the hand-made logs leave out.
    first_day = world.history * (np.random.default_rng(seed).random(world.history.shape) < 0.5)
    stage = world.stage(engine, warm_day_one=first_day, month=month)
    scores = scores_of(engine, stage, strengths=(strength,), targets=(target,))
    streamed = {"all": world.history, "month": month}[target]
    assert_allclose(scores, expected(engine, stage, streamed, strength), atol=2e-4)


def test_nothing_known_of_anybody_gives_the_chart(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine)  # warm users without a registration day
    scores = scores_of(engine, stage)
    assert_allclose(scores, np.tile(world.popularity / N_WARM, (N_COLD, 1)), atol=1e-6)


def test_the_best_strength_is_kept(engine: Engine) -> None:
    ndcg = iter([0.2, 0.5, 0.4, 0.5])
    rankings: list[Ranking] = []

    def score(ranking: Ranking) -> float:
        rankings.append(ranking)
        return next(ndcg)

    stage = World().stage(engine, score=score)
    strategy = stage.strategy("ridge", strengths=(0.1, 1.0, 10.0, 100.0), targets=("all",))
    assert strategy.state.curve == (0.2, 0.5, 0.4, 0.5)
    alone = World().stage(engine).strategy("ridge", strengths=(1.0,))
    kept, only = (
        [*arrays_of(engine, one.state.network), engine.to_host(one.state.tracks)]
        for one in (strategy, alone)
    )
    for mine, theirs in zip(kept, only, strict=True):
        assert_allclose(mine, theirs)
    assert [len(ranking.tracks) for ranking in rankings] == [2] * 4  # the validation users alone


@pytest.mark.parametrize(("month", "kept"), [(0.6, "month"), (0.5, "all"), (0.4, "all")])
def test_other_targets_are_tried_at_the_best_strength(
    engine: Engine, month: float, kept: str
) -> None:
    world = World()
    streamed: dict[str, Any] = {"warm_day_one": world.history}
    streamed["month"] = world.history * (world.history > 1)
    ndcg = iter([0.2, 0.5, 0.4, month])
    stage = world.stage(engine, score=lambda _: next(ndcg), **streamed)
    state = stage.strategy("ridge", strengths=(0.1, 1.0, 10.0)).state
    assert state.curve == (0.2, 0.5, 0.4, month)
    alone = world.stage(engine, **streamed).strategy("ridge", strengths=(1.0,), targets=(kept,))
    assert_allclose(engine.to_host(state.tracks), engine.to_host(alone.state.tracks))


@pytest.mark.parametrize("components", [1, 2, 5])
def test_fewer_components_are_the_largest(engine: Engine, components: int) -> None:
    world = World()
    stage = world.stage(engine, warm_day_one=world.history)
    state = stage.strategy("ridge", components=components, strengths=(1.0,)).state
    assert (state.network.inputs, state.network.outputs) == (WIDTH, components + 1)
    whole = stage.strategy("ridge", strengths=(1.0,)).state
    warm = vectors(engine, stage, 0, N_WARM)
    spaces = []
    for one in (state, whole):
        basis = arrays_of(engine, one.network)[0][:, :components].astype(float)
        placed = warm @ basis
        placed -= placed.mean(axis=0)
        spaces.append(np.linalg.qr(placed)[0])
    overlap = np.linalg.svd(spaces[0].T @ spaces[1], compute_uv=False)
    assert_allclose(overlap, 1, atol=1e-3)
