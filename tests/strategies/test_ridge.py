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

PRIOR = 5.0
WIDTH = len(World().tracks[0]) * len(BLOCKS) + 19
BLOCK_PLACES = np.arange(WIDTH - 19).reshape(len(BLOCKS), -1)


def vectors(engine: Engine, stage: Stage, first: int, stop: int) -> HostArray:
    """Input vectors, each block of a user weighed by its share of all that is known of them."""
    users = engine.asarray(np.arange(first, stop))
    made = engine.to_host(stage.past.inputs.batch(users)).astype(np.float64)
    signals = engine.to_host(stage.past.logs.registrations.signals)
    for vector, counts in zip(made, signals[first:stop], strict=True):
        for block, evidence in zip(BLOCK_PLACES, [PRIOR, PRIOR, *counts], strict=True):
            vector[block] *= evidence / (PRIOR + sum(counts))
    return made


def expected(
    engine: Engine, stage: Stage, streamed: HostArray, strength: float, place: float | None
) -> HostArray:
    """Every cold user's score of every track, by the dual form: users by users."""
    warm = vectors(engine, stage, 0, N_WARM)
    cold = vectors(engine, stage, N_WARM, N_WARM + N_COLD)
    centred, placed = warm - warm.mean(axis=0), cold - warm.mean(axis=0)
    for block in [*BLOCK_PLACES, *([i] for i in range(WIDTH - 19, WIDTH))]:
        spread = (centred[:, block] ** 2).mean(axis=0).sum() * (19 if len(block) == 1 else 1)
        factor = spread**-0.5 if spread > 1e-9 else 0.0
        centred[:, block] *= factor
        placed[:, block] *= factor
    placed[:, (centred == 0).all(axis=0)] = 0  # of what never varied nothing is learned
    seen = (streamed > 0).astype(float)
    kernel = centred @ centred.T + N_WARM * strength * np.eye(N_WARM)
    wanted = seen - seen.mean(axis=0)
    if place is not None:  # what warm users' places make of what they streamed
        places = engine.to_host(stage.past.space.users).astype(float)
        places -= places.mean(axis=0)
        least = place * (places**2).sum() * np.eye(places.shape[1])
        wanted = places @ np.linalg.solve(places.T @ places + least, places.T @ wanted)
    scores: HostArray = seen.mean(axis=0) + placed @ centred.T @ np.linalg.solve(kernel, wanted)
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
@pytest.mark.parametrize("place", [None, 0.001, 0.1])
def test_scores_solve_the_normal_equations(
    engine: Engine, strength: float, seed: int, target: str, place: float | None
) -> None:
    world = World(seed)
    month = world.history * (np.random.default_rng(9).random(world.history.shape) < 0.7)
    # What warm users did on their own registration day, which the hand-made logs leave out.
    first_day = world.history * (np.random.default_rng(seed).random(world.history.shape) < 0.5)
    stage = world.stage(engine, warm_day_one=first_day, month=month)
    route = {"routes": ("tracks",)} if place is None else {"place_strengths": (place,)}
    settings = {"prior_events": PRIOR, "strengths": (strength,), "targets": (target,)}
    scores = scores_of(engine, stage, **{"routes": ("places",)} | settings | route)
    streamed = {"all": world.history, "month": month}[target]
    assert_allclose(scores, expected(engine, stage, streamed, strength, place), atol=2e-4)


def test_nothing_known_of_anybody_gives_the_chart(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine)  # warm users without a registration day
    scores = scores_of(engine, stage)
    assert_allclose(scores, np.tile(world.popularity / N_WARM, (N_COLD, 1)), atol=1e-6)


@pytest.mark.parametrize(
    ("ndcg", "kept"),
    [
        ([0.2, 0.5, 0.4, 0.5, 0.5, 0.5], ("places", 1.0, 0.001, "all")),
        ([0.2, 0.5, 0.4, 0.5, 0.6, 0.5], ("places", 1.0, 0.01, "all")),
        ([0.3, 0.2, 0.1, 0.2, 0.2, 0.4], ("places", 0.1, 0.001, "month")),
        ([0.3, 0.2, 0.4, 0.2, 0.1], ("tracks", 0.1, 0.001, "all")),
        ([0.3, 0.2, 0.4, 0.5, 0.6], ("tracks", 1.0, 0.001, "month")),
    ],
)
def test_the_best_trial_is_kept(
    engine: Engine, ndcg: list[float], kept: tuple[str, float, float, str]
) -> None:
    world, rankings = World(), list[Ranking]()
    streamed: dict[str, Any] = {"warm_day_one": world.history}
    streamed["month"] = world.history * (world.history > 1)
    coming = iter(ndcg)

    def score(ranking: Ranking) -> float:
        rankings.append(ranking)
        return next(coming)

    stage = world.stage(engine, score=score, **streamed)
    names = ("routes", "strengths", "place_strengths", "targets")
    tried = {"strengths": (0.1, 1.0), "place_strengths": (0.001, 0.01)}
    state = stage.strategy("ridge", **tried).state
    assert state.curve == tuple(ndcg)
    assert [len(ranking.tracks) for ranking in rankings] == [2] * len(ndcg)  # validation users
    alone = world.stage(engine, **streamed).strategy(
        "ridge", **{name: (value,) for name, value in zip(names, kept, strict=True)}
    )
    for mine, theirs in zip(
        [*arrays_of(engine, state.network), engine.to_host(state.tracks)],
        [*arrays_of(engine, alone.state.network), engine.to_host(alone.state.tracks)],
        strict=True,
    ):
        assert_allclose(mine, theirs)


@pytest.mark.parametrize("components", [1, 2, 5])
@pytest.mark.parametrize("setting", ["components", "track_components"])
def test_fewer_components_are_the_largest(engine: Engine, components: int, setting: str) -> None:
    world = World()
    stage = world.stage(engine, warm_day_one=world.history)
    only: dict[str, Any] = {"routes": ("tracks",), "strengths": (1.0,), "prior_events": PRIOR}
    state = stage.strategy("ridge", **{setting: components}, **only).state
    assert (state.network.inputs, state.network.outputs) == (WIDTH, components + 1)
    whole = stage.strategy("ridge", **only).state
    warm = vectors(engine, stage, 0, N_WARM)
    spaces = []
    for one in (state, whole):
        basis = arrays_of(engine, one.network)[0][:, :components].astype(float)
        placed = warm @ basis
        placed -= placed.mean(axis=0)
        spaces.append(np.linalg.qr(placed)[0])
    overlap = np.linalg.svd(spaces[0].T @ spaces[1], compute_uv=False)
    assert_allclose(overlap, 1, atol=1e-3)
