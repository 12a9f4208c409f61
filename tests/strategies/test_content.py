"""Heater, CLCRec, GAR and ALDI against one user at a time in plain NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from gpu_coldstart import registry
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.models.aldi import trusted
from gpu_coldstart.models.content import Batch, ContentTraining
from gpu_coldstart.strategies import Ranking
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, Stage, World, arrays_of, lists
from tests.strategies.test_gate import staged
from tests.worlds import sparse

NAMES = ("heater", "clcrec", "gar", "aldi")
QUICK: dict[str, Any] = {"hidden": 5, "epochs": 2, "tracks": 3, "learning_rate": 0.01}
K = 8


def training(engine: Engine, stage: Stage, name: str, **options: Any) -> Any:
    kind: Any = registry.STRATEGIES.get(name)
    made: ContentTraining = kind.training(
        stage.context, kind.Parameters(**QUICK | options), stage.past
    )
    return made


def through(network: nn.Module, values: HostArray) -> HostArray:
    """What a chain of layers computes."""
    for part in network.modules():
        if isinstance(part, nn.Linear):
            weights, offset = (each.detach().cpu().numpy() for each in (part.weight, part.bias))
            values = values @ weights.T.astype(float) + offset
        elif isinstance(part, nn.Tanh):
            values = np.tanh(values)
        elif isinstance(part, nn.ReLU):
            values = np.maximum(values, 0)
    return values


# -- losses ------------------------------------------------------------------------------------


class Oracle:
    """A batch of three users with two tracks each, one with one alone, and losses of it."""

    streamed, drawn = np.array([[0, 7], [3, 2], [11, 0]]), np.array([[5, 5], [1, 9], [4, 0]])
    shares = np.array([[0.5, 0.5], [1.0, 0.0], [0.5, 0.5]])
    users, chance = np.array([2, 9, 4]), np.array([0.2, 0.95, 0.4])

    def __init__(self, engine: Engine, trained: Any, history: HostArray):
        self.vectors = np.random.default_rng(1).normal(size=(3, trained.width))
        self.of, self.options = trained.network, trained.options
        self.tracks = engine.to_host(engine.from_torch(trained.tracks)).astype(float)
        self.places = engine.to_host(engine.from_torch(trained.users)).astype(float)[self.users]
        self.trust = trust_of(history, getattr(self.options, "trust", 1.0))[self.users]

    def batch(self, engine: Engine) -> Batch:
        floats = (self.vectors, self.shares, self.chance)
        vectors, shares, chance = (
            engine.to_torch(engine.asarray(each.astype(np.float32))) for each in floats
        )
        users, streamed, drawn = (
            engine.to_torch(engine.asarray(each))
            for each in (self.users, self.streamed, self.drawn)
        )
        return Batch(vectors, users, streamed, shares, drawn, chance)

    def mean(self, value: Callable[[int, int, int], float]) -> float:
        """Of what is there for a user, and a track streamed and one drawn."""
        return float(
            np.mean(
                [
                    sum(
                        share * value(user, track, other)
                        for share, track, other in zip(
                            self.shares[user], self.streamed[user], self.drawn[user], strict=True
                        )
                    )
                    for user in range(3)
                ]
            )
        )

    def heater(self) -> float:
        experts, wide = self.options.experts, len(self.places[0])
        mixed = []
        for row in np.tanh(through(self.of["experts"], self.vectors)):
            parts = row[: experts * wide].reshape(experts, wide)
            mixed.append(np.tanh(row[experts * wide :] @ parts))
        given = [
            mixed[user] if self.chance[user] < self.options.randomised else self.places[user]
            for user in range(3)
        ]
        users, tracks = through(self.of["users"], np.array(given)), self._towered

        def error(user: int, track: int) -> float:
            wanted = self.places[user] @ self.tracks[track]
            return float((users[user] @ tracks[track] - wanted) ** 2)

        apart = np.mean(((np.array(mixed) - self.places) ** 2).sum(axis=1))
        pairs = self.mean(lambda user, a, b: (error(user, a) + error(user, b)) / 2)
        return pairs + float(self.options.similarity * apart)

    def clcrec(self) -> float:
        """All places are still those of the warm space."""
        heat, content = self.options.temperature, through(self.of["content"], self.vectors)
        units = [
            each / np.linalg.norm(each, axis=1, keepdims=True) for each in (self.places, content)
        ]
        near = np.exp(units[0] @ units[1].T / heat)
        alignment = -np.mean(np.log(np.diag(near) / near.sum(axis=1)))
        hybrid = np.where((self.chance < self.options.hybrid)[:, None], content, self.places)
        scores = np.exp(hybrid @ self.tracks.T / heat)
        others = scores[:, self.drawn.ravel()].sum(axis=1)
        preference = self.mean(
            lambda user, a, _: -np.log(scores[user, a] / (scores[user, a] + others[user]))
        )
        weight = self.options.alignment
        return float(weight * alignment + (1 - weight) * preference)

    def gar(self) -> float:
        generated = through(self.of["generator"], self.vectors)
        real, made = (through(self.of["users"], each) for each in (self.places, generated))
        tracks, options = self._towered, self.options

        def error(user: int, a: int, b: int) -> float:
            own, other, seen = (
                real[user] @ tracks[a],
                real[user] @ tracks[b],
                made[user] @ tracks[a],
            )
            told = options.drawn * rather(own, other) + (1 - options.drawn) * rather(own, seen)
            return float(told + (1 - options.similarity) * rather(seen, own))

        apart = np.abs(generated - self.places).mean()
        return self.mean(error) + float(options.similarity * apart)

    def aldi(self) -> float:
        content, tracks, options = (
            through(self.of["users"], self.vectors),
            self._towered,
            self.options,
        )
        trust = self.trust

        def error(user: int, a: int, b: int) -> float:
            student = [content[user] @ tracks[each] for each in (a, b)]
            teacher = [self.places[user] @ self.tracks[each] for each in (a, b)]
            rating = np.abs(np.subtract(student, teacher)).sum()
            order = trust[user] * sure(student[0] - student[1], teacher[0] - teacher[1])
            return rather(*student) + float(options.rating * rating + options.ranking * order)

        def apart(places: HostArray, user: int) -> float:
            others = [places[user] @ places[other] for other in range(3) if other != user]
            return float(places[user] @ places[user] - np.mean(others))

        known = [
            trust[user] * sure(apart(content, user), apart(self.places, user)) for user in range(3)
        ]
        return self.mean(error) + float(options.identification * np.mean(known))

    @property
    def _towered(self) -> HostArray:
        return through(self.of["tracks"], self.tracks)


def rather(one: float, other: float) -> float:
    """Bayesian personalised ranking's loss, where one is to score higher."""
    return float(-np.log(1 / (1 + np.exp(other - one))))


def sure(student: float, teacher: float) -> float:
    """Cross-entropy of two certainties."""
    one, other = (1 / (1 + np.exp(-each)) for each in (student, teacher))
    return float(-other * np.log(one) - (1 - other) * np.log(1 - one))


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_that_of_the_paper(engine: Engine, name: str) -> None:
    world, stage = staged(engine)
    trained = training(engine, stage, name)
    oracle = Oracle(engine, trained, world.history)
    found = float(trained.error(oracle.batch(engine)).detach())
    assert found == pytest.approx(getattr(oracle, name)(), rel=1e-4)


def test_the_generator_and_the_recommender_learn_on_their_own(engine: Engine) -> None:
    """What matters to one alone moves no weight of the other."""
    world, stage = staged(engine)

    def slopes(**options: float) -> dict[str, torch.Tensor]:
        trained = training(engine, stage, "gar", **options)
        trained.error(Oracle(engine, trained, world.history).batch(engine)).backward()
        return {name: each.grad for name, each in trained.network.named_parameters()}

    plain, similar, told = slopes(), slopes(similarity=0.1), slopes(drawn=0.1)
    for name, slope in plain.items():
        of_generator = name.startswith("generator")
        assert torch.equal(slope, told[name]) is of_generator
        assert torch.equal(slope, similar[name]) is not of_generator


def test_places_are_of_one_size(engine: Engine) -> None:
    """Unrelated ones have products of about 1, and all that was null stays null."""
    _, stage = staged(engine)
    trained, space = training(engine, stage, "aldi"), stage.past.space
    for mine, theirs in ((trained.users, space.users), (trained.tracks, space.tracks)):
        made, given = engine.to_host(engine.from_torch(mine)), engine.to_host(theirs)
        assert (made**2).mean() == pytest.approx(given.shape[1] ** -0.5, rel=1e-5)
        assert_allclose(made * np.abs(given).max(), given * np.abs(made).max(), rtol=1e-5)


# -- lists -------------------------------------------------------------------------------------


def tower(state: Any) -> Any:
    """The last network before a user's place."""
    return getattr(state, "network", None) or state.tower


def placed(engine: Engine, strategy: Any, vectors: HostArray) -> HostArray:
    """Of each input vector, beside the tracks."""
    values, state = vectors.astype(float), strategy.state
    network = tower(state)
    if strategy.name == "heater":
        weights, offset = arrays_of(engine, state.experts)
        n = strategy.parameters.experts
        made = np.tanh(values @ weights + offset)
        experts = made[:, :-n].reshape(len(made), n, -1)
        values = np.tanh(np.einsum("uk,ukd->ud", made[:, -n:], experts))
    assert network.hidden == ("relu" if strategy.name == "clcrec" else "tanh")
    *layers, last, last_offset = arrays_of(engine, network)
    for weights, offset in zip(layers[::2], layers[1::2], strict=True):
        values = values @ weights + offset
        values = np.maximum(values, 0) if strategy.name == "clcrec" else np.tanh(values)
    places: HostArray = values @ last + last_offset
    return places


@pytest.mark.parametrize("name", NAMES)
def test_lists_follow_from_the_network(engine: Engine, name: str) -> None:
    _, stage = staged(engine)
    strategy = stage.strategy(name, **QUICK)
    places = placed(engine, strategy, engine.to_host(stage.users.vectors()))
    scores = places @ engine.to_host(strategy.state.tracks).T.astype(float)
    tracks, found = lists(engine, strategy.recommend(stage.users, K))
    for user in range(N_COLD):
        assert_allclose(found[user], np.sort(scores[user])[::-1][:K], rtol=1e-4, atol=1e-5)
        assert_allclose(scores[user][tracks[user]], found[user], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_network_is_what_was_trained(engine: Engine, name: str) -> None:
    """Input vectors are scaled for training, and come to the network as they are."""
    _, stage = staged(engine)
    trained = training(engine, stage, name)
    trained.epoch(0)
    strategy: Any = registry.STRATEGIES.get(name)
    made = strategy(stage.context, trained.options, strategy.State(*trained.learned()))
    vectors = engine.to_host(stage.users.vectors())
    scale = engine.to_host(engine.from_torch(trained._scale))
    given = torch.from_numpy(vectors * scale).to(trained.users.device)
    with torch.no_grad():
        if name == "heater":
            wanted = trained.network["users"](trained._mixed(given))
        elif name == "gar":
            wanted = trained.network["users"](trained.network["generator"](given))
        else:
            wanted = trained.network["users" if name == "aldi" else "content"](given)
    found = engine.to_host(made.located(stage.users))
    assert_allclose(found, wanted.cpu().numpy(), rtol=1e-3, atol=1e-5)


def camps(engine: Engine) -> Stage:
    """Two camps of users and of tracks, equally popular; who is in which, the first day tells."""
    world, random = World(), np.random.default_rng(0)
    camp, theirs = np.arange(N_WARM + N_COLD) % 2, np.arange(N_TRACKS) // 2 % 2
    streamed = (camp[:, None] == theirs) & (random.random((len(camp), N_TRACKS)) < 0.9)
    order = np.argsort(-streamed[:N_WARM].sum(axis=0), kind="stable")
    theirs, streamed = theirs[order], streamed[:, order]
    first_day = 1 * (streamed & (random.random(streamed.shape) < 0.5))
    world.history, world.day_one = 1 * streamed[:N_WARM], first_day[N_WARM:]
    noise = 0.3 * random.normal(size=(N_TRACKS + N_WARM, 6))
    world.tracks = (np.eye(6)[theirs] + noise[:N_TRACKS]).astype(np.float32)
    world.users = (np.eye(6)[camp[:N_WARM]] + noise[N_TRACKS:]).astype(np.float32)
    liked = engine.asarray(camp[N_WARM:, None] == theirs)

    def found(ranking: Ranking) -> float:
        rows = engine.xp.arange(len(ranking.tracks))[:, None]
        return float(liked[rows, ranking.tracks[:, :K]].mean())

    return world.stage(engine, warm_day_one=first_day[:N_WARM], score=found)


@pytest.mark.parametrize("name", NAMES)
def test_it_beats_popularity(engine: Engine, name: str) -> None:
    stage = camps(engine)
    options = QUICK | {"hidden": 16, "epochs": 15, "patience": 0, "batch_size": 4}
    chart, strategy = stage.strategy("popularity"), stage.strategy(name, **options)
    chosen, other = (each.recommend(stage.users, K) for each in (strategy, chart))
    assert stage.past.score(other) == pytest.approx(0.5, abs=0.1)
    assert stage.past.score(chosen) > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_fixes_it(engine: Engine, name: str) -> None:
    _, stage = staged(engine)
    made = [arrays_of(engine, tower(stage.strategy(name, **QUICK).state)) for _ in range(2)]
    for one, other in zip(*made, strict=True):
        assert_array_equal(one, other)


def trust_of(history: HostArray, trust: float) -> HostArray:
    """Of each user, who is known the better by more and rarer tracks."""
    seen = history > 0
    known = [sum(1 / seen[:, track].sum() for track in np.flatnonzero(mine)) for mine in seen]
    believed: HostArray = np.tanh(trust * np.minimum(np.array(known) / np.mean(known), 1))
    return believed


def test_the_teacher_is_trusted_with_users_it_knows(engine: Engine) -> None:
    history = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 0, 0, 3], [0, 0, 0, 0]])
    found = engine.to_host(engine.from_torch(trusted(engine, sparse(engine, history), 0.7)))
    assert_allclose(found, trust_of(history, 0.7), rtol=1e-5)
