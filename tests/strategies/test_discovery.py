"""The dial of Best: what it does to lists, and what fitting says that it would do."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import Engine
from gpu_coldstart.strategies import Strategy, Users
from gpu_coldstart.strategies.base import Ranking
from gpu_coldstart.strategies.candidates import Candidates, Makers, candidates
from gpu_coldstart.strategies.discovery import DIALS
from gpu_coldstart.strategies.logit import Choices, fit_logit
from tests.strategies.contexts import N_TRACKS, Stage, World, lists
from tests.strategies.test_best import EXPERTS, K, fitted, replaying
from tests.worlds import sparse

TURNS = (0.0, 0.1, 0.5, 2.0, 9.0)


def known_of(stage: Stage, strategy: Strategy, users: Users) -> Candidates:
    """The candidates of a fitted Best."""
    state = strategy.state
    experts = {name: stage.strategy(name) for name in state.experts}
    made = Makers(state.artists, state.albums)
    return candidates(stage.context, users, experts, made, K)


def turned(stage: Stage, strategy: Strategy, dial: float) -> Ranking:
    """The lists of the same state under another setting."""
    parameters = strategy.parameters.model_copy(update={"discovery": dial})
    experts = {name: stage.strategy(name) for name in EXPERTS}
    kind = type(strategy)
    return kind(stage.context, parameters, strategy.state, experts=experts).recommend(  # type: ignore[call-arg]
        stage.users, K
    )


def ranked(scores: dict[int, float]) -> list[int]:
    return sorted(scores, key=lambda track: (-scores[track], track))[:K]


@pytest.mark.parametrize("dial", TURNS)
def test_the_dial_adds_to_the_score_of_a_candidate(engine: Engine, dial: float) -> None:
    stage, strategy = fitted(replaying(), engine)
    assert not strategy.state.alone
    found = known_of(stage, strategy, stage.users)
    weights = engine.to_host(strategy.state.weights).astype(float)
    tracks, scores = lists(engine, turned(stage, strategy, dial))
    for user, (of, there, x) in enumerate(
        zip(*map(engine.to_host, (found.tracks, found.allowed, found.features)), strict=True)
    ):
        wanted = {
            int(track): round(float(known @ weights) + dial * math.log(track + 1), 5)
            for track, known in zip(of[there], x[there], strict=True)
        }
        assert_allclose(scores[user], [wanted[track] for track in tracks[user]], atol=2e-5)
        assert_allclose(scores[user], [wanted[track] for track in ranked(wanted)], atol=2e-5)


@pytest.mark.parametrize("dial", TURNS)
def test_the_list_of_one_expert_is_ranked_anew(engine: Engine, dial: float) -> None:
    world = World()
    stage = world.stage(engine)
    nearest, _ = lists(engine, stage.strategy("full").recommend(stage.users, N_TRACKS))
    world.wanted = np.zeros((len(nearest), N_TRACKS))
    for user, tracks in enumerate(nearest):
        world.wanted[user, tracks[:10]] = 1
    stage, strategy = fitted(world, engine)
    assert strategy.state.alone
    assert strategy.state.experts == ("full",)
    got, _ = lists(engine, turned(stage, strategy, dial))
    for user, listed in enumerate(nearest):
        scores = {
            track: math.log(101 / rank) + dial * math.log(track + 1)
            for rank, track in enumerate(listed, start=1)
        }
        assert got[user] == ranked(scores)


def test_further_turned_lists_are_less_popular(engine: Engine) -> None:
    for world in (replaying(), *map(World, range(3))):
        stage, strategy = fitted(world, engine)
        lists_of = [engine.to_host(turned(stage, strategy, dial).tracks) for dial in TURNS]
        ranks = np.array([np.log1p(tracks).mean(axis=1) for tracks in lists_of])
        assert (np.diff(ranks, axis=0) >= -1e-9).all()
        outside = [(tracks >= N_TRACKS // 2).mean() for tracks in lists_of]
        assert sorted(outside) == outside
        assert outside[0] < outside[-1]


def test_the_trade_off_is_what_other_folds_teach(engine: Engine) -> None:
    world, folds, strength = replaying(), 3, 0.1
    stage, strategy = fitted(world, engine, folds=folds, strengths=(strength,))
    state = strategy.state
    there = stage.past.validation
    users = engine.to_host(state.trade_off.users)
    assert sorted(users) == list(range(len(there)))
    found = known_of(stage, strategy, there.take(state.trade_off.users))
    of, allowed, x = map(engine.to_host, (found.tracks, found.allowed, found.features))
    chosen = (np.take_along_axis(world.wanted[users], of, axis=1) > 0) & allowed
    popularity = 2 * len(state.experts)
    for tracks, ndcg in zip(state.trade_off.tracks, state.trade_off.ndcg, strict=True):
        measured = engine.rank_metrics(tracks, sparse(engine, world.wanted[users]), [N_TRACKS])
        assert_array_equal(engine.to_host(ndcg), engine.to_host(measured.ndcg[0]))
    for fold in range(folds):
        others = np.arange(len(users)) % folds != fold
        choices = Choices(*map(engine.asarray, (x, allowed, chosen & others[:, None])))
        weights = engine.to_host(fit_logit(engine, choices, strength))
        for user in np.flatnonzero(~others):
            for place, dial in enumerate(DIALS):
                less = weights - dial * (np.arange(len(weights)) == popularity)
                scores = np.where(allowed[user], (x[user] * less).sum(axis=1), -np.inf)
                wanted = sorted(scores.tolist(), reverse=True)[:K]
                tracks = engine.to_host(state.trade_off.tracks)[place, user][:K]
                got = {t: s for t, s in zip(of[user], scores, strict=True) if s > -np.inf}
                assert_allclose([got[track] for track in tracks], wanted, atol=1e-5)


def test_without_the_dial_the_trade_off_is_the_blend(engine: Engine) -> None:
    for world in (replaying(), *map(World, range(3))):
        stage, strategy = fitted(world, engine, experts=("popularity",))
        state, ndcg = strategy.state, engine.to_host(strategy.state.trade_off.ndcg)
        assert ndcg.shape == (len(DIALS), len(stage.past.validation))
        gone = 0 if "popularity" in state.experts else state.added[0]
        if not state.alone:
            assert_allclose(ndcg[0].mean(), max(state.curve) - gone, atol=1e-6)


def test_a_saved_model_has_nobody(engine: Engine) -> None:
    _, strategy = fitted(replaying(), engine)
    served = type(strategy).served(strategy.state)
    assert served.trade_off.tracks.size == served.trade_off.ndcg.size == 0
    for name, value in vars(strategy.state).items():
        assert name == "trade_off" or getattr(served, name) is value
