"""Track Softmax against one user at a time in plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.streams import TrackSoftmaxConfig
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.models.streams import Streams
from gpu_coldstart.models.track_softmax import (
    Sampler,
    SoftmaxTraining,
    TrackLogits,
    sampled_loss,
    softmax_loss,
)
from gpu_coldstart.spaces import unit_rows
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, Stage, World, arrays_of, lists
from tests.strategies.test_gate import staged
from tests.worlds import sparse

K = 8
QUICK: dict[str, Any] = {"epochs": 3, "hidden": 5, "learning_rate": 0.01}
SAMPLED: dict[str, Any] = QUICK | {"full_up_to": 0, "negatives": 9}


def logits_of(engine: Engine, state: Any, vector: HostArray) -> HostArray:
    """Of each track, for one input vector."""
    first, first_offset, last, last_offset = arrays_of(engine, state.network)
    tracks = engine.to_host(state.tracks).astype(float)
    factors = np.maximum(vector @ first + first_offset, 0) @ last + last_offset
    assert factors[-1] == 1  # what a track's offset is multiplied by
    logits: HostArray = tracks @ factors
    return logits


def probabilities(logits: HostArray) -> HostArray:
    powers = np.exp(logits - logits.max())
    shares: HostArray = powers / powers.sum()
    return shares


def training(engine: Engine, stage: Stage, history: HostArray, **options: Any) -> SoftmaxTraining:
    inputs = stage.past.inputs
    return SoftmaxTraining(
        engine,
        inputs,
        engine.asarray(np.ones(inputs.width, np.float32)),
        plays=sparse(engine, history),
        popularity=engine.asarray((history > 0).sum(axis=0)),
        tracks=unit_rows(stage.past.space.tracks),
        options=TrackSoftmaxConfig(**options),
        seed=0,
    )


# -- lists -------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [QUICK, SAMPLED], ids=["full", "sampled"])
def test_lists_follow_from_the_factors(engine: Engine, options: dict[str, Any]) -> None:
    _, stage = staged(engine)
    strategy = stage.strategy("track-softmax", **options)
    vectors = engine.to_host(stage.users.vectors()).astype(float)
    tracks, scores = lists(engine, strategy.recommend(stage.users, K))
    for user in range(N_COLD):
        expected = logits_of(engine, strategy.state, vectors[user])
        assert_allclose(scores[user], np.sort(expected)[::-1][:K], rtol=1e-4)
        assert_allclose(expected[tracks[user]], scores[user], rtol=1e-4)


def test_a_user_of_whom_nothing_is_known_gets_a_list(engine: Engine) -> None:
    """At first the chart, as all that the network adds is small."""
    world = World()
    world.day_one[:] = 0
    stage = world.stage(engine).scaled(np.zeros((N_WARM + N_COLD, 19), np.float32))
    quick = QUICK | {"epochs": 1, "learning_rate": 1e-12}
    strategy = stage.strategy("track-softmax", **quick)
    tracks, scores = lists(engine, strategy.recommend(stage.users, N_TRACKS))
    assert np.isfinite(scores).all()
    shares = (world.popularity + 1) / (world.popularity + 1).sum()
    for row, values in zip(tracks, scores, strict=True):
        assert sorted(row) == list(range(N_TRACKS))
        assert np.corrcoef(values, np.log(shares[row]))[0, 1] > 0.5


# -- the loss ----------------------------------------------------------------------------------


def naive_loss(logits: HostArray, history: HostArray, users: list[int]) -> float:
    """Every user's mean first, so that all users weigh the same."""
    means = []
    for row, user in zip(logits, users, strict=True):
        mine = np.flatnonzero(history[user])
        means.append(-np.log(probabilities(row)[mine]).mean())
    return float(np.mean(means))


def naive_gradient(logits: HostArray, history: HostArray, users: list[int]) -> HostArray:
    rows = []
    for row, user in zip(logits, users, strict=True):
        share = (history[user] > 0) / (history[user] > 0).sum()
        rows.append((probabilities(row) - share) / len(users))
    return np.array(rows)


def looked_at(
    engine: Engine, history: HostArray, users: list[int], most: int = 64, shift: float = 0.0
) -> dict[str, torch.Tensor]:
    """Tracks of users and their shares, as the losses take them."""
    arrays = np.array(users), np.full(len(users), shift, np.float32)
    moved = (engine.to_torch(engine.asarray(array)) for array in arrays)
    tracks, shares = Streams(engine, sparse(engine, history), most).of(*moved)
    return {"tracks": tracks, "shares": shares}


def drawn_logits(engine: Engine, n: int) -> torch.Tensor:
    random = np.random.default_rng(0).normal(size=(n, N_TRACKS)).astype(np.float32)
    return engine.to_torch(engine.asarray(random)).requires_grad_()


def to_host(engine: Engine, tensor: torch.Tensor | None) -> HostArray:
    assert tensor is not None
    return engine.to_host(engine.from_torch(tensor.detach())).astype(float)


def test_the_loss_is_the_mean_of_each_users_mean(engine: Engine) -> None:
    world, users = World(), [7, 0, 3]
    logits = drawn_logits(engine, 3)
    loss = softmax_loss(logits, **looked_at(engine, world.history, users))
    torch.autograd.backward(loss)
    arguments = to_host(engine, logits), world.history, users
    assert_allclose(float(loss.detach()), naive_loss(*arguments), rtol=1e-5)
    assert_allclose(to_host(engine, logits.grad), naive_gradient(*arguments), atol=1e-6)


def test_each_track_counts_as_much_over_all_shifts(engine: Engine) -> None:
    world, users = World(), [7, 0, 3]
    logits = drawn_logits(engine, 3).detach()
    shifts = (np.arange(840) + 0.5) / 840
    losses = [
        float(softmax_loss(logits, **looked_at(engine, world.history, users, 3, shift)))
        for shift in shifts
    ]
    wanted = naive_loss(to_host(engine, logits), world.history, users)
    assert_allclose(np.mean(losses), wanted, rtol=1e-3)


@pytest.mark.parametrize("most", [3, 64])
def test_a_sample_of_every_track_gives_the_whole_loss(engine: Engine, most: int) -> None:
    """And its gradient: no track counts twice, whether it is a user's own or not."""
    world, users = World(), [7, 0, 3]
    mine = looked_at(engine, world.history, users, most, 0.5)
    popularity = engine.to_torch(engine.asarray(np.ones(N_TRACKS, np.float32)))
    sample, expected = Sampler(popularity, 0.5, N_TRACKS).draw(generator(popularity))
    assert_array_equal(to_host(engine, sample), np.arange(N_TRACKS))
    found = []
    for sampled in (False, True):
        logits = drawn_logits(engine, 3)
        if sampled:
            own, others = logits.gather(1, mine["tracks"]), logits[:, sample]
            loss = sampled_loss(own, others, **mine, sample=sample, expected=expected)
        else:
            loss = softmax_loss(logits, **mine)
        torch.autograd.backward(loss)
        found.append((float(loss.detach()), to_host(engine, logits.grad)))
    assert_allclose(found[1][0], found[0][0], rtol=1e-5)
    assert_allclose(found[1][1], found[0][1], atol=1e-6)


def generator(like: torch.Tensor, seed: int = 0) -> torch.Generator:
    return torch.Generator(like.device).manual_seed(seed)


@pytest.mark.parametrize("size", [3, 7, 40])
def test_a_users_own_tracks_are_left_out_of_the_sample(engine: Engine, size: int) -> None:
    """However often they were drawn, and however often others were."""
    world, users = World(), [7, 0, 3]
    mine = looked_at(engine, world.history, users)
    popularity = engine.to_torch(engine.asarray((world.popularity + 1).astype(np.float32)))
    sampler, random = Sampler(popularity, 1.0, size), generator(popularity)
    logits = drawn_logits(engine, 3).detach()
    raw = to_host(engine, logits)
    shares = (world.popularity + 1) / (world.popularity + 1).sum()
    for _ in range(20):
        sample, expected = sampler.draw(random)
        own, others = logits.gather(1, mine["tracks"]), logits[:, sample]
        loss = sampled_loss(own, others, **mine, sample=sample, expected=expected)
        means = []
        for row, user in zip(raw, users, strict=True):
            streamed = np.flatnonzero(world.history[user])
            total = np.exp(row[streamed]).sum()
            for track in to_host(engine, sample).astype(int):
                if track not in streamed:
                    total += np.exp(row[track]) / (size * shares[track])
            means.append(np.log(total) - row[streamed].mean())
        assert_allclose(float(loss), np.mean(means), rtol=1e-5)


@pytest.mark.parametrize("power", [0.0, 0.75, 1.0])
def test_the_sum_over_all_tracks_is_estimated_without_bias(engine: Engine, power: float) -> None:
    popularity = np.arange(N_TRACKS, 0, -1).astype(np.float32)
    tensor = engine.to_torch(engine.asarray(popularity))
    sampler, random = Sampler(tensor, power, 7), generator(tensor)
    terms = np.exp(np.random.default_rng(0).normal(size=N_TRACKS))
    counts, totals = np.zeros(N_TRACKS), []
    for _ in range(2000):
        sample, expected = (to_host(engine, each) for each in sampler.draw(random))
        assert (np.diff(sample) >= 0).all()
        counts += np.bincount(sample.astype(int), minlength=N_TRACKS)
        totals.append((terms[sample.astype(int)] / expected).sum())
    shares = popularity**power / (popularity**power).sum()
    assert_allclose(counts / 2000, 7 * shares, atol=0.05)
    assert_allclose(np.mean(totals), terms.sum(), rtol=0.03)


def test_logits_of_some_tracks_are_those_among_all(engine: Engine) -> None:
    random = np.random.default_rng(0)
    chart, vectors, tracks = (
        engine.to_torch(engine.asarray(random.normal(size=shape).astype(np.float32)))
        for shape in (N_TRACKS, (3, 9), (N_TRACKS, 4))
    )
    network = TrackLogits(9, 5, tracks, chart).to(chart.device)
    whole, factors = network(vectors), network.users(vectors)
    some = torch.tensor([4, 4, 19], device=chart.device)
    each = torch.tensor([[1, 2], [0, 5], [7, 7]], device=chart.device)
    for found, wanted in (
        (network.of(factors, some), whole[:, some]),
        (network.of(factors, each), whole.gather(1, each)),
    ):
        assert_allclose(to_host(engine, found), to_host(engine, wanted), rtol=1e-5, atol=1e-6)


# -- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [QUICK, SAMPLED], ids=["full", "sampled"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_training_makes_the_tracks_more_likely(
    engine: Engine, options: dict[str, Any], dropout: float
) -> None:
    world, stage = staged(engine)
    learning = training(engine, stage, world.history, dropout=dropout, **options)
    losses = [learning.epoch(epoch) for epoch in range(60)]
    assert np.mean(losses[-20:]) < np.mean(losses[:20]) - 0.01


@pytest.mark.parametrize("options", [QUICK, SAMPLED], ids=["full", "sampled"])
def test_users_without_a_stream_that_counts_take_no_part(
    engine: Engine, options: dict[str, Any]
) -> None:
    world, stage = staged(engine)
    kept = world.history * (np.arange(N_WARM) % 3 > 0)[:, None]
    for plays, learns in ((kept, True), (np.zeros_like(kept), False)):
        learning = training(engine, stage, plays, **options)
        assert (learning.epoch(0) > 0) == learns
        users, tracks = learning.learned()
        found = [*arrays_of(engine, users), engine.to_host(tracks)]
        assert all(np.isfinite(each).all() for each in found)


def test_decay_is_towards_the_chart(engine: Engine) -> None:
    world, stage = staged(engine)
    learning = training(engine, stage, world.history, **QUICK | {"weight_decay": 1e3})
    for epoch in range(200):
        learning.epoch(epoch)
    _, tracks = learning.learned()
    shares = (world.popularity + 1) / (world.popularity + 1).sum()
    factors = engine.to_host(tracks)
    assert_allclose(factors[:, -1], np.log(shares), atol=0.02)
    assert_allclose(factors[:, :-1], 0, atol=0.02)


@pytest.mark.parametrize(("patience", "epochs"), [(2, 4), (1, 3), (0, 6)])
def test_the_best_epoch_is_kept(engine: Engine, patience: int, epochs: int) -> None:
    values = [0.2, 0.5, 0.4, 0.5, 0.6, 0.1]
    ndcg = iter(values)
    _, stage = staged(engine, score=lambda _: next(ndcg))
    options = SAMPLED | {"epochs": 6, "patience": patience}
    state = stage.strategy("track-softmax", **options).state
    assert state.curve == tuple(values[:epochs])
    options |= {"epochs": 2 if patience else 6, "patience": 0}
    alone = staged(engine)[1].strategy("track-softmax", **options).state
    kept, only = (
        [*arrays_of(engine, one.network), engine.to_host(one.tracks)] for one in (state, alone)
    )
    for mine, theirs in zip(kept, only, strict=True):
        assert_array_equal(mine, theirs)


def test_only_many_tracks_are_sampled(engine: Engine) -> None:
    def tracks(**changes: Any) -> HostArray:
        strategy = staged(engine)[1].strategy("track-softmax", **QUICK | changes)
        return engine.to_host(strategy.state.tracks)

    full = tracks()
    assert_array_equal(tracks(full_up_to=N_TRACKS, negatives=3), full)
    assert (tracks(full_up_to=N_TRACKS - 1, negatives=3) != full).any()


def test_the_seeds_of_others_are_left_alone(engine: Engine) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    staged(engine)[1].strategy("track-softmax", **SAMPLED)
    assert torch.equal(torch.get_rng_state(), before)
