"""What lifts a list of Best above other candidates, against sums of plain numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import Engine
from gpu_coldstart.strategies.blending import Part
from gpu_coldstart.strategies.candidates import OWN, Candidates
from gpu_coldstart.strategies.parts import parts, shares_of_parts
from tests.strategies.contexts import N_COLD, N_TRACKS, World, lists
from tests.strategies.test_best import EXPERTS, K, fitted, replaying
from tests.strategies.test_discovery import known_of


def test_parts_have_names() -> None:
    found = parts(["Semi-Pers.", "Ridge"])
    assert found[:3] == (
        *(Part("expert", "Semi-Pers."), Part("expert", "Ridge")),
        Part("popularity", "popularity"),
    )
    assert [part.name for part in found[3:]] == list(OWN)
    assert {part.kind for part in found[3:]} == {"signal"}


@pytest.mark.parametrize("dial", [0.0, 0.7])
def test_shares_are_those_of_the_lift(engine: Engine, dial: float) -> None:
    world = replaying()
    random = np.random.default_rng(0)
    world.wanted = np.maximum(world.wanted, random.random(world.wanted.shape) < 0.2) * 1.0
    stage, strategy = fitted(world, engine, discovery=dial)
    state = strategy.state
    ranking = strategy.recommend(stage.users, K)
    listed, scores = lists(engine, ranking)
    named, shares = strategy.parts_of(stage.users, ranking.tracks) or ((), None)
    assert shares is not None
    found = known_of(stage, strategy, stage.users)
    of, allowed, x = map(engine.to_host, (found.tracks, found.allowed, found.features))
    weights = engine.to_host(state.weights).astype(float)
    weights[2 * len(state.experts)] -= dial
    for user in range(N_COLD):
        known = dict(zip(of[user][allowed[user]].tolist(), x[user][allowed[user]], strict=True))
        values = {track: each * weights for track, each in known.items()}
        mine = [sum(values[t][f] for t in listed[user]) / K for f in range(len(weights))]
        every = [sum(v[f] for v in values.values()) / len(values) for f in range(len(weights))]
        lifts = [a - b for a, b in zip(mine, every, strict=True)]
        mean = sum(float(v.sum()) for v in values.values()) / len(values)
        assert sum(lifts) == pytest.approx(scores[user].mean() - mean, abs=1e-5)
        cut = 2 * len(state.experts)
        by_part = [lifts[f] + lifts[f + 1] for f in range(0, cut, 2)] + lifts[cut:]
        row = engine.to_host(shares)[user]
        assert len(row) == len(named)
        assert_allclose(row, np.array(by_part) / sum(lifts), atol=1e-5)
        assert row.sum() == pytest.approx(1, abs=1e-12)


def test_one_expert_is_the_only_reason(engine: Engine) -> None:
    world = World()
    world.wanted = np.zeros((N_COLD, N_TRACKS))
    world.wanted[:, :10] = 1  # the chart
    stage, strategy = fitted(world, engine)
    assert strategy.state.alone
    tracks = strategy.recommend(stage.users, K).tracks
    _, shares = strategy.parts_of(stage.users, tracks) or ((), None)
    wanted = np.zeros((N_COLD, 2 + len(OWN)))
    wanted[:, 0] = 1
    assert_array_equal(engine.to_host(shares), wanted)


def test_a_list_of_everything_has_no_reason(engine: Engine) -> None:
    stage, strategy = fitted(replaying(), engine)
    tracks = strategy.recommend(stage.users, N_TRACKS).tracks
    _, shares = strategy.parts_of(stage.users, tracks) or ((), None)
    assert_array_equal(engine.to_host(shares), 0)


def test_segments_are_those_of_the_expert_that_has_some(engine: Engine) -> None:
    world = World()
    stage = world.stage(engine)
    favourites, _ = lists(engine, stage.strategy("semi").recommend(stage.users, 3))
    world.wanted = np.zeros((N_COLD, N_TRACKS))
    for user, tracks in enumerate(favourites):
        world.wanted[user, tracks] = 1
    stage, strategy = fitted(world, engine, experts=(*EXPERTS, "semi"))
    assert "semi" in strategy.state.experts
    found, wanted = (
        each.segments_of(stage.users) or () for each in (strategy, stage.strategy("semi"))
    )
    for one, other in zip(found, wanted, strict=True):
        assert_array_equal(engine.to_host(one), engine.to_host(other))
    _, without = fitted(world, engine)
    assert without.segments_of(stage.users) is None


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 12), st.integers(0, 3),
    st.sampled_from([0.0, 1e-4, 1.0, 1e4]),
)  # fmt: skip
def test_shares_add_up(seed: int, n: int, m: int, n_experts: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    tracks = np.array([random.permutation(40)[:m] for _ in range(n)], np.int32)
    listed = random.random((n, m, n_experts + 1)) < 0.6
    features = random.integers(-3, 4, (n, m, 2 * n_experts + 1 + len(OWN))).astype(np.float32)
    weights = scale * random.normal(size=features.shape[2])
    found = Candidates(tracks, listed, features)
    lists_of = random.integers(0, 40, (n, 3)).astype(np.int32)
    shares = shares_of_parts(np, found, weights, lists_of, 40)
    assert shares.shape == (n, n_experts + 1 + len(OWN))
    for row in shares:
        assert row.sum() == pytest.approx(1, abs=1e-6) or not row.any()
