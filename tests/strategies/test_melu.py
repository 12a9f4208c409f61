"""MeLU against one user at a time, PyTorch's own gradients and finite differences."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from gpu_coldstart.config.competitors import MeluConfig
from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.data.supports import Support, supports
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.models import melu
from gpu_coldstart.models.melu import MeluTraining, Pairs, losses
from gpu_coldstart.strategies.melu import adapted
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, D, Stage, World, lists
from tests.strategies.test_supports import NOTHING, day_of, naive_support, order_of, staged

K = 8
QUICK: dict[str, Any] = {"embedding": 5, "hidden": 4, "support": 3, "epochs": 3, "batch_size": 5}


# -- adaptation --------------------------------------------------------------------------------


def network(seed: int, embedding: int, hidden: int) -> nn.Sequential:
    """Decision layers in double precision."""
    torch.manual_seed(seed)
    widths = (2 * embedding, hidden, hidden, 1)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def linear(decision: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in decision if isinstance(layer, nn.Linear)]


def taught(
    decision: nn.Sequential, given: torch.Tensor, support: Pairs, steps: int, rate: float
) -> nn.Sequential:
    """Another network after steps of gradient descent, by plain autograd."""
    mine = copy.deepcopy(decision)
    _, labels, shares = support
    for _ in range(steps):
        error = (shares * (mine(given)[:, 0] - labels) ** 2).sum()
        weights = list(mine.parameters())
        slopes = torch.autograd.grad(error, weights)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                weight.sub_(rate * slope)
    return mine


def beside(user: torch.Tensor, tracks: torch.Tensor) -> torch.Tensor:
    return torch.cat([user.expand(len(tracks), -1), tracks], dim=1)


def pairs(generator: torch.Generator, n: int, m: int, embedding: int) -> Pairs:
    def some(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    shares = some(n, m) * (some(n, m) < 0.7)
    shares[:, 0] = 0.1
    shares /= shares.sum(dim=1, keepdim=True)
    return 2 * some(n, m, embedding) - 1, (some(n, m) < 0.5).double(), shares


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_adaptation_by_hand_is_autograds(engine: Engine, steps: int) -> None:
    n, m, embedding, hidden, rate = 4, 6, 3, 5, 0.3
    generator = torch.Generator().manual_seed(1)
    decision = network(1, embedding, hidden)
    users = torch.randn((n, embedding), generator=generator, dtype=torch.float64)
    tracks, labels, shares = pairs(generator, n, m, embedding)
    shares[2] = 0  # nothing to learn from
    given = torch.stack([beside(*each) for each in zip(users, tracks, strict=True)])

    def moved(tensor: torch.Tensor) -> Any:
        return engine.asarray(tensor.detach().numpy())

    layers = [
        tuple(
            engine.xp.broadcast_to(each, (n, *each.shape))
            for each in (moved(layer.weight.T), moved(layer.bias[None]))
        )
        for layer in linear(decision)
    ]
    support = Support(None, moved(labels), moved(shares))
    found = adapted(engine.xp, layers, moved(given), support, steps=steps, rate=rate)
    changed = 0.0
    for user in range(n):
        of = (tracks[user], labels[user], shares[user])
        wanted = taught(decision, given[user], of, steps, rate)
        for (weights, offset), layer in zip(found, linear(wanted), strict=True):
            expected = layer.weight.detach().T.numpy(), layer.bias.detach().numpy()
            assert_allclose(engine.to_host(weights)[user], expected[0], rtol=1e-9, atol=1e-12)
            assert_allclose(engine.to_host(offset)[user, 0], expected[1], rtol=1e-9, atol=1e-12)
        first, was = (linear(each)[0].weight.detach() for each in (wanted, decision))
        change = float((first - was).abs().max())
        assert (change == 0) == (user == 2 or steps == 0)
        changed += change
    assert (changed > 0.01) == (steps > 0)


# -- the meta-gradient -------------------------------------------------------------------------


def task(options: MeluConfig, seed: int = 0) -> tuple[nn.Module, list[torch.Tensor], Any]:
    """A network, what is learned, and the loss of two users as a function of nothing."""
    generator = torch.Generator().manual_seed(seed)
    decision = network(seed, 3, 4)
    users = torch.randn((2, 3), generator=generator, dtype=torch.float64)
    support, query = (pairs(generator, 2, 5, 3) for _ in range(2))
    learned = [*decision.parameters(), users, support[0], query[0]]
    for each in learned:
        each.requires_grad_()
    return decision, learned, lambda: losses(decision, users, support, query, options).mean()


@pytest.mark.parametrize("steps", [1, 2])
def test_the_meta_gradient_is_that_of_finite_differences(steps: int) -> None:
    options = MeluConfig(local_steps=steps, local_learning_rate=0.4)
    _, learned, loss = task(options)
    slopes = torch.autograd.grad(loss(), learned)
    small, seen = 1e-6, 0
    for tensor, slope in zip(learned, slopes, strict=True):
        flat = tensor.detach().view(-1)
        for place in range(0, len(flat), 3):
            ends = []
            for step in (small, -2 * small):
                flat[place] += step
                ends.append(float(loss().detach()))
            flat[place] += small
            found = (ends[0] - ends[1]) / (2 * small)
            assert_allclose(float(slope.reshape(-1)[place]), found, rtol=1e-5, atol=1e-9)
            seen += found != 0
    assert seen > 20


def test_first_order_is_the_gradient_where_the_steps_led() -> None:
    options = MeluConfig(local_learning_rate=0.4, first_order=True)
    decision, learned, loss = task(options)
    parameters = learned[: len(list(decision.parameters()))]
    first = torch.autograd.grad(loss(), parameters)
    _, others, second_loss = task(options.replace(first_order=False))
    second = torch.autograd.grad(second_loss(), others[: len(parameters)])
    assert_allclose(float(loss().detach()), float(second_loss().detach()), rtol=1e-12)
    assert max(float(abs(a - b).max()) for a, b in zip(first, second, strict=True)) > 1e-3
    generator = torch.Generator().manual_seed(0)
    users = torch.randn((2, 3), generator=generator, dtype=torch.float64)
    support, query = (pairs(generator, 2, 5, 3) for _ in range(2))
    total = [torch.zeros_like(each) for each in parameters]
    for user in range(2):
        known, asked = (tuple(each[user] for each in part) for part in (support, query))
        mine = taught(decision, beside(users[user], known[0]), known, 1, 0.4)  # type: ignore[arg-type]
        errors = mine(beside(users[user], asked[0]))[:, 0] - asked[1]
        slopes = torch.autograd.grad((asked[2] * errors**2).sum(), list(mine.parameters()))
        total = [sum_ + slope / 2 for sum_, slope in zip(total, slopes, strict=True)]
    for one, other in zip(first, total, strict=True):
        torch.testing.assert_close(one, other)


# -- training ----------------------------------------------------------------------------------


def training(engine: Engine, stage: Stage, **options: Any) -> MeluTraining:
    chosen, past = MeluConfig(**QUICK | options), stage.past
    warm, size = engine.xp.arange(N_WARM), chosen.support
    order = order_of(engine)
    support = supports(engine, past.logs.registrations, warm, order=order, size=size)
    return MeluTraining(
        engine, past.inputs, support, past.space, plays=past.logs.plays, options=chosen, seed=0
    )


def test_a_query_is_of_other_tracks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracks that were streamed and are not in the support, and three drawn ones for each."""
    world, day, most = World(), day_of(), 6
    world.tracks += np.arange(N_TRACKS)[:, None] / 64  # so that a track is known by its place
    stage, seen = staged(engine, day, world), list[list[HostArray]]()

    def noting(decision: Any, users: Any, support: Pairs, query: Pairs, options: Any) -> Any:
        seen.append([each.detach().cpu().numpy() for each in (*support, *query)])
        return losses(decision, users, support, query, options)

    monkeypatch.setattr(melu, "losses", noting)
    trained = training(engine, stage, query=most, negatives=3, learning_rate=1e-12)
    trained.epoch(0)
    every = trained.tracks(trained._tracks).detach().cpu().numpy()

    def numbers(embedded: HostArray) -> list[int]:
        return [int(abs(every - one).sum(axis=1).argmin()) for one in embedded]

    active = np.flatnonzero(world.history.sum(axis=1))
    order = active[np.random.default_rng((0, 0)).permutation(len(active))]
    rows = [row for batch in seen for row in zip(*batch, strict=True)]
    assert len(rows) == len(order)
    asked_all = set[int]()
    for user, (known, known_labels, w, tracks, labels, shares) in zip(order, rows, strict=True):
        there = w > 0
        found = list(zip(numbers(known[there]), known_labels[there], strict=True))
        assert found == naive_support(day[user], QUICK["support"])
        left = set(np.flatnonzero(world.history[user])) - {t for t, label in found if label}
        asked = numbers(tracks)
        wanted = [t for t, label, share in zip(asked, labels, shares, strict=True) if label]
        assert len(wanted) == len(set(wanted))
        assert set(wanted) <= left
        assert len(wanted) >= min(len(left), most - QUICK["support"])
        assert (shares[labels == 1] > 0).all()
        assert (shares > 0).sum() == 4 * len(wanted)
        assert_allclose(shares[shares > 0] * 4 * len(wanted), 1, rtol=1e-6)
        asked_all |= set(asked[most:])
    assert len(asked_all) > N_TRACKS / 2


def opposite(engine: Engine) -> tuple[HostArray, Stage]:
    """Users of whom the network sees the same, and who stream even tracks, or odd ones."""
    world, random = World(), np.random.default_rng(0)
    kind = np.arange(N_WARM + N_COLD) % 2
    streamed = (np.arange(N_TRACKS) % 2) == kind[:, None]
    world.history = streamed[:N_WARM] * 1
    world.tracks = random.normal(size=(N_TRACKS, D)).astype(np.float32)
    world.tracks[:, 0] = 1 - 2 * (np.arange(N_TRACKS) % 2)
    day = np.zeros((N_WARM + N_COLD, len(SIGNALS), N_TRACKS))
    day[:, 8] = streamed * (random.random(streamed.shape) < 0.4)
    stage = staged(engine, day, world)
    width, xp = stage.past.inputs.width, engine.xp
    stage.past.inputs.batch = lambda users: xp.ones((len(users), width), dtype=xp.float32)  # type: ignore[method-assign]
    return kind[N_WARM:], stage


def test_adaptation_tells_opposite_tastes_apart(engine: Engine) -> None:
    kind, stage = opposite(engine)
    options = {"hidden": 16, "embedding": 8, "batch_size": N_WARM, "learning_rate": 0.01}
    options |= {"epochs": 80, "patience": 0, "local_learning_rate": 0.5, "negatives": 1}
    right = {}
    for steps in (0, 2):
        strategy = stage.strategy("melu-full", local_steps=steps, **options)
        tracks, _ = lists(engine, strategy.recommend(stage.users, N_TRACKS // 2))
        right[steps] = np.mean(np.array(tracks) % 2 == kind[:, None])
    assert right[0] < 0.6
    assert right[2] > 0.95


def test_seeds_fix_it(engine: Engine) -> None:
    stage = staged(engine, day_of())
    one, same = (stage.strategy("melu-full", **QUICK).state for _ in range(2))
    context = replace(stage.context, seed=1)
    other = Stage(context, stage.past, stage.users).strategy("melu-full", **QUICK).state
    assert one.curve == same.curve
    assert len(one.curve) == 3
    for each, equal in ((same, True), (other, False)):
        found = engine.to_host(each.tracks) == engine.to_host(one.tracks)
        assert found.all() == equal


# -- lists -------------------------------------------------------------------------------------


def naive_scores(engine: Engine, strategy: Any, vector: HostArray, day: HostArray) -> HostArray:
    """Of all tracks for one user, by plain autograd."""
    state, options = strategy.state, strategy.parameters

    def tensor(array: Any) -> torch.Tensor:
        return torch.from_numpy(engine.to_host(array).astype(float))

    (embedding,) = state.network.layers
    user = torch.from_numpy(vector.astype(float)) @ tensor(embedding.weights)
    user += tensor(embedding.offset)
    decision = network(0, len(user), 1)
    for layer, learned in zip(linear(decision), state.decision, strict=True):
        layer.weight = nn.Parameter(tensor(learned.weights).T.contiguous())
        layer.bias = nn.Parameter(tensor(learned.offset))
    tracks, known = tensor(state.tracks), naive_support(day, options.support)
    if known:
        numbers, labels = map(list, zip(*known, strict=True))
        given = beside(user, tracks[numbers])
        shares = torch.full((len(known),), 1 / len(known), dtype=torch.float64)
        support = (given, torch.tensor(labels, dtype=torch.float64), shares)
        steps, rate = options.local_steps, options.local_learning_rate
        decision = taught(decision, given, support, steps, rate)
    scores: HostArray = decision(beside(user, tracks))[:, 0].detach().numpy()
    return scores


def test_lists_follow_from_the_network(engine: Engine) -> None:
    day = day_of()
    stage = staged(engine, day)
    options = QUICK | {"local_steps": 2, "local_learning_rate": 0.5}
    strategy = stage.strategy("melu-full", **options)
    vectors = engine.to_host(stage.users.vectors())
    tracks, scores = lists(engine, strategy.recommend(stage.users, K))
    for user in range(N_COLD):
        wanted = naive_scores(engine, strategy, vectors[user], day[N_WARM + user])
        assert_allclose(scores[user], np.sort(wanted)[::-1][:K], rtol=1e-4, atol=1e-6)
        assert_allclose(wanted[tracks[user]], scores[user], rtol=1e-4, atol=1e-6)


def test_without_support_the_layers_stay_as_they_are(engine: Engine) -> None:
    stage = staged(engine, day_of())
    mine = stage.strategy("melu-full", **QUICK)
    parameters = mine.parameters.replace(local_steps=0)
    plain = type(mine)(stage.context, parameters, mine.state)
    (tracks, scores), (others, other_scores) = (
        lists(engine, each.recommend(stage.users, K)) for each in (mine, plain)
    )
    same = [(a == b).all() for a, b in zip(scores, other_scores, strict=True)]
    assert same == [user == NOTHING - N_WARM for user in range(N_COLD)]
    assert tracks[NOTHING - N_WARM] == others[NOTHING - N_WARM]


def test_segments_are_of_the_places_that_scores_make(engine: Engine) -> None:
    day = day_of()
    stage = staged(engine, day)
    strategy: Any = stage.strategy("melu-semi")
    vectors = engine.to_host(stage.past.inputs.batch(engine.xp.arange(N_WARM + N_COLD)))
    design = np.hstack([engine.to_host(stage.context.tracks), np.ones((N_TRACKS, 1))])
    places = []
    for vector, did in zip(vectors, day, strict=True):
        scores = naive_scores(engine, strategy._placing, vector, did)
        place = np.linalg.lstsq(design.astype(float), scores, rcond=None)[0][:D]
        places.append(place / np.linalg.norm(place))
    warm, cold = np.split(np.array(places), [N_WARM])
    users = stage.users
    found = strategy.placed(users.registrations, users.inputs, users.numbers)
    assert_allclose(engine.to_host(found), cold, rtol=1e-3, atol=1e-4)
    centroids = engine.to_host(strategy.state.centroids)
    assert centroids.shape == (len(stage.context.centroids), D)

    def nearest(points: HostArray) -> HostArray:
        labels: HostArray = ((points[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
        return labels

    for segment in range(len(centroids)):
        mine = warm[nearest(warm) == segment]
        assert_allclose(centroids[segment], mine.mean(axis=0), rtol=1e-3, atol=1e-4)
    segments, weights = strategy.segments_of(users)
    assert_array_equal(engine.to_host(segments)[:, 0], nearest(cold))
    assert_array_equal(engine.to_host(weights), 1)
    columns, shares = stage.context.engine.row_top(strategy.state.shares, K)
    tracks, values = lists(engine, strategy.recommend(users, K))
    assert tracks == engine.to_host(columns)[nearest(cold)].tolist()
    assert_array_equal(values, engine.to_host(shares)[nearest(cold)])
