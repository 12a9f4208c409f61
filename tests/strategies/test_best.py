"""Best: its logit, its candidates and what it makes of them, each against something naive."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize

from gpu_coldstart.data.registrations import Registrations
from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.strategies import Strategy, best, judge
from gpu_coldstart.strategies.candidates import OWN, Makers, candidates, makers
from gpu_coldstart.strategies.logit import Choices, fit_logit
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, Stage, World, lists
from tests.worlds import sparse

K = 8
EXPERTS = ("popularity", "full")


# -- the logit -------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [0.01, 1.0])
@pytest.mark.parametrize("n", [3, 700])  # users; the latter in several batches
def test_weights_are_the_most_likely(engine: Engine, strength: float, n: int) -> None:
    random = np.random.default_rng(n)
    x = random.normal(size=(n, 6, 4)).astype(np.float32)
    allowed = random.random((n, 6)) < 0.8
    chosen = (random.random((n, 6)) < 0.3) & allowed
    chosen[0], allowed[1], chosen[1] = False, True, True

    def loss(weights: HostArray) -> float:
        total = 0.0
        for features, there, mine in zip(x, allowed, chosen, strict=True):
            if mine.any():
                scores = features.astype(float) @ weights
                normal = math.log(sum(math.exp(each) for each in scores[there]))
                total += float(normal - scores[mine].mean())
        return total / int(chosen.any(axis=1).sum()) + strength * float(weights @ weights) / 2

    choices = Choices(*map(engine.asarray, (x, allowed, chosen)))
    found = fit_logit(engine, choices, strength)
    wanted = minimize(loss, np.zeros(4), tol=1e-10).x
    assert_allclose(engine.to_host(found), wanted, atol=1e-4)
    again = fit_logit(engine, choices, strength * 1.2, found)  # fewer steps lead as near
    assert_allclose(
        engine.to_host(again),
        engine.to_host(fit_logit(engine, choices, strength * 1.2)),
        atol=1e-6,
    )
    # Where all odds but one are next to nothing, a whole step would lead far astray.
    astray = np.array([30.0, -30, 30, -30])
    back = engine.to_host(fit_logit(engine, choices, strength, engine.asarray(astray)))
    assert loss(back) <= loss(astray)


def test_where_nobody_chose_there_are_no_weights(engine: Engine) -> None:
    random = np.random.default_rng(0)
    x, none = random.normal(size=(3, 5, 2)).astype(np.float32), np.zeros((3, 5), dtype=bool)
    choices = Choices(*map(engine.asarray, (x, ~none, none)))
    found = fit_logit(engine, choices, 1.0)
    assert_array_equal(engine.to_host(found), 0)


# -- the candidates --------------------------------------------------------------------------------


def with_signals(engine: Engine, stage: Stage, counts: HostArray, n_entities: int) -> Stage:
    """The same, with other events of the users' registration days [users, signal, entity]."""
    events = sparse(engine, counts.reshape(-1, n_entities))
    old = stage.users.registrations
    registrations = Registrations(old.age, old.country, events, old.signals)
    return replace(stage, users=replace(stage.users, registrations=registrations))


@pytest.mark.parametrize("depth", [3, 100])
def test_candidates_and_what_is_known_of_them(
    engine: Engine, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpu_coldstart.strategies.candidates.DEPTH", depth)
    random = np.random.default_rng(0)
    artists, albums = random.integers(-1, 3, N_TRACKS), random.integers(-1, 4, N_TRACKS)
    entities = {
        "track": np.arange(N_TRACKS),
        "artist": np.where(artists < 0, -1, N_TRACKS + artists),
        "album": np.where(albums < 0, -1, N_TRACKS + 3 + albums),
    }
    n_entities = N_TRACKS + 3 + 4
    counts = random.integers(1, 5, (N_WARM + N_COLD, len(SIGNALS), n_entities))
    counts = counts * (random.random(counts.shape) < 0.2)
    kinds = np.repeat(["track", "artist", "album"], [N_TRACKS, 3, 4])
    counts *= kinds == np.array([each.entity for each in SIGNALS])[:, None]
    stage = with_signals(engine, World().stage(engine), counts, n_entities)
    experts: dict[str, Strategy] = {name: stage.strategy(name) for name in EXPERTS}
    made = Makers(
        *(engine.asarray(entities[each].astype(np.int32)) for each in ("artist", "album"))
    )
    found = candidates(stage.context, stage.users, experts, made, 2)
    tracks, allowed, features = map(engine.to_host, (found.tracks, found.allowed, found.features))
    long = min(depth, N_TRACKS)
    rankings = [lists(engine, each.recommend(stage.users, long)) for each in experts.values()]
    for user in range(N_COLD):
        day = dict(zip((each.name for each in SIGNALS), counts[N_WARM + user], strict=True))
        # Of what was streamed the most often, the most popular first; then the chart.
        streamed = np.argsort(-day["streamed_songs"][:N_TRACKS], kind="stable")[:long].tolist()
        mine = {*rankings[0][0][user], *rankings[1][0][user], *streamed}
        assert tracks[user][: len(mine)].tolist() == sorted(mine)
        assert allowed[user].tolist() == [place < len(mine) for place in range(len(tracks[user]))]
        for track, known in zip(sorted(mine), features[user], strict=False):
            wanted = []
            for ranked, scores in rankings:
                place = ranked[user].index(track) if track in ranked[user] else None
                span = scores[user][0] - scores[user][-1]
                near = 0 if place is None else (scores[user][place] - scores[user][-1]) / span
                wanted += [near, 0 if place is None else math.log((depth + 1) / (place + 1))]
            wanted.append(-math.log(track + 1))
            for signal in (each for each in SIGNALS if each.name in OWN):
                entity = entities[signal.entity][track]
                wanted.append(math.log(1 + day[signal.name][entity]) if entity >= 0 else 0)
            assert_allclose(known, wanted, rtol=1e-5, atol=1e-6)


def test_makers_are_those_of_the_catalogue(engine: Engine) -> None:
    world = World()
    random = np.random.default_rng(1)
    members = np.zeros((N_TRACKS + 3 + 2, N_TRACKS))
    members[:N_TRACKS] = np.eye(N_TRACKS)
    wanted = []
    for first, n in ((N_TRACKS, 3), (N_TRACKS + 3, 2)):
        owner = random.integers(-1, n, N_TRACKS)
        for track, each in enumerate(owner):
            if each >= 0:
                members[first + each, track] = 1
        wanted.append(np.where(owner < 0, -1, first + owner))
    logs = world.stage(engine, n_artists=3, n_albums=2).past.logs
    found = makers(engine, replace(logs, members=sparse(engine, members)))
    assert_array_equal(engine.to_host(found.artists), wanted[0])
    assert_array_equal(engine.to_host(found.albums), wanted[1])


# -- the blend -------------------------------------------------------------------------------------


def fitted(world: World, engine: Engine, **parameters: object) -> tuple[Stage, Strategy]:
    stage = world.stage(engine, n_validation=6)
    return stage, stage.strategy("best", **({"experts": EXPERTS} | parameters))


def replaying() -> World:
    """Whose users stream next what they streamed on registration day; who did not, the first."""
    world = World()
    world.wanted = (world.day_one > 0) * 1.0
    world.wanted[3, 0] = 1
    return world


def test_who_plays_the_same_again_gets_it_first(engine: Engine) -> None:
    world = replaying()
    stage, strategy = fitted(world, engine)
    assert not strategy.state.alone
    place = 2 * len(strategy.state.experts) + 1 + OWN.index("streamed_songs")
    assert engine.to_host(strategy.state.weights)[place] > 0
    truth = sparse(engine, world.wanted)

    def measured(one: Strategy) -> tuple[float, HostArray]:
        """NDCG of all, and the mean rank of each user's own tracks."""
        tracks = one.recommend(stage.users, N_TRACKS).tracks
        ndcg = engine.to_host(engine.rank_metrics(tracks, truth, [K]).ndcg[0]).mean()
        ranked = engine.to_host(tracks).argsort(axis=1)  # every track is in the list
        own = world.day_one > 0
        return ndcg, (ranked * own).sum(axis=1) / np.maximum(own.sum(axis=1), 1)

    ndcg, ranks = measured(strategy)
    for name in EXPERTS:
        other, theirs = measured(stage.strategy(name))
        assert ndcg > other + 0.2
        assert (ranks <= theirs).all()


def test_experts_are_left_out_that_add_nothing(engine: Engine) -> None:
    _, strategy = fitted(replaying(), engine)
    state = strategy.state
    assert sorted(state.tried) == sorted(EXPERTS)
    assert state.experts == ()  # what they streamed says it all
    assert max(state.added) <= 0
    assert len(state.weights) == 1 + len(OWN)


def test_experts_stay_that_know_something(engine: Engine) -> None:
    """Users stream next what is near their place in the space, and one track of the chart."""
    world = World()
    stage = world.stage(engine)
    nearest, _ = lists(engine, stage.strategy("full").recommend(stage.users, 4))
    world.wanted = np.zeros((N_COLD, N_TRACKS))
    for user, tracks in enumerate(nearest):
        world.wanted[user, [*tracks[1:], 0]] = 1
    _, strategy = fitted(world, engine)
    state = strategy.state
    assert "full" in state.experts
    assert dict(zip(state.tried, state.added, strict=True))["full"] > 0


def test_fewer_experts_are_as_if_there_were_no_others(engine: Engine) -> None:
    stage = World().stage(engine)
    made = makers(engine, stage.past.logs)
    experts = {name: stage.strategy(name) for name in ("popularity", "full", "semi")}
    whole = candidates(stage.context, stage.users, experts, made, K)
    for names in (("full", "semi"), ("popularity",), ()):
        fewer = whole.of(engine.xp, [list(experts).index(name) for name in names])
        some = {name: experts[name] for name in names}
        wanted = candidates(stage.context, stage.users, some, made, K)
        for parts in ("tracks", "listed", "features"):
            mine, theirs = (
                engine.to_host(getattr(each, parts))[engine.to_host(each.allowed)]
                for each in (fewer, wanted)
            )
            assert_array_equal(mine, theirs)


def test_an_expert_that_is_always_right_is_left_alone(engine: Engine) -> None:
    world = World()
    world.wanted = np.zeros((N_COLD, N_TRACKS))
    world.wanted[:, :10] = 1  # the chart
    stage, strategy = fitted(world, engine)
    assert strategy.state.alone
    assert strategy.state.experts == ("popularity",)
    for got, wanted in zip(
        lists(engine, strategy.recommend(stage.users, K)),
        lists(engine, stage.strategy("popularity").recommend(stage.users, K)),
        strict=True,
    ):
        assert_array_equal(got, wanted)


def test_the_strength_is_the_best_on_folds(engine: Engine) -> None:
    world = World(2)
    strengths = (100.0, 1.0, 0.01)
    _, strategy = fitted(world, engine, strengths=strengths)
    curve = strategy.state.curve
    assert len(curve) == 3
    alone = [fitted(world, engine, strengths=(each,))[1].state for each in strengths]
    assert_allclose([state.curve[0] for state in alone], curve, rtol=1e-6)
    kept = alone[int(np.argmax(curve))]
    assert_allclose(engine.to_host(strategy.state.weights), engine.to_host(kept.weights), atol=1e-4)


def test_the_curve_is_over_users_who_teach_it(engine: Engine) -> None:
    stage, strategy = fitted(replaying(), engine, folds=3)
    state, validation = strategy.state, stage.past.validation
    assert state.users == (1, 4)  # of 6, those that are not of one fold, and a quarter
    k = N_TRACKS  # lists are of 50 where there are as many
    alone = [
        engine.rank_metrics(
            stage.strategy(name).recommend(validation, k).tracks, stage.past.wanted, [k]
        ).ndcg[0]
        for name in EXPERTS
    ]
    assert state.single == pytest.approx(max(float(each.mean()) for each in alone))


def test_a_fold_is_ranked_as_the_first_of_the_others_say(engine: Engine) -> None:
    world = replaying()
    stage = world.stage(engine)
    experts = {name: stage.strategy(name) for name in EXPERTS}
    found = candidates(stage.context, stage.users, experts, makers(engine, stage.past.logs), K)
    teacher = judge.Judge(engine, found, sparse(engine, world.wanted), folds=3, k=K)
    for most in (1, 2, None):
        blend = teacher.by_folds(found, 0.1, most=most)
        for fold in range(3):
            rows = [user for user in range(N_COLD) if user % 3 != fold][:most]
            some = found.take(rows)
            wanted = np.take_along_axis(world.wanted[rows], engine.to_host(some.tracks), 1) > 0
            chosen = engine.asarray(wanted) & some.allowed
            weights = fit_logit(engine, Choices(some.features, some.allowed, chosen), 0.1)
            assert_allclose(
                engine.to_host(blend.weights[fold]), engine.to_host(weights), rtol=1e-6, atol=1e-9
            )


def test_batches_change_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    stage, strategy = fitted(replaying(), engine)
    whole, scores = lists(engine, strategy.recommend(stage.users, K))
    monkeypatch.setattr(best, "_BATCH", 3)
    tracks, same = lists(engine, strategy.recommend(stage.users, K))
    assert tracks == whole
    assert_array_equal(same, scores)
