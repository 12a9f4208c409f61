"""CML: its loss and its steps against naive ones, what is drawn, and what the space promises."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from gpu_coldstart.config.metric import CmlConfig
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.models.cml import CmlTraining, cml_loss, nearest
from gpu_coldstart.models.negatives import Candidates, Positives, Unstreamed
from gpu_coldstart.spaces import silent
from gpu_coldstart.spaces.cml import Cml
from tests.worlds import hand_logs

SAMPLERS = ("uniform", "popular", "two-stage")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def positives(streamed: Any) -> Positives:
    """Of a dense matrix [users, tracks]."""
    matrix = np.asarray(streamed) > 0
    indptr = torch.from_numpy(np.concatenate([[0], matrix.sum(axis=1).cumsum()]))
    return Positives(indptr, torch.from_numpy(np.nonzero(matrix)[1]), matrix.shape[1])


def some_positives(n_users: int, n_tracks: int, share: float) -> tuple[HostArray, Positives]:
    """Random ones, of more popular tracks more; every user has streamed something."""
    random = np.random.default_rng(7)
    streamed = random.random((n_users, n_tracks)) < share * np.linspace(1.6, 0.4, n_tracks)
    streamed[:, 0] = True
    return streamed, positives(streamed)


def likely(counts: HostArray, shares: HostArray) -> bool:
    """Whether counts may come of a law, and nothing was drawn that cannot be."""
    possible = shares > 0
    wanted = counts.sum() * shares[possible] / shares.sum()
    return not counts[~possible].any() and stats.chisquare(counts[possible], wanted).pvalue > 1e-3


# -- loss and steps --------------------------------------------------------------------------------


def places(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=generator(3), dtype=torch.float64) / math.sqrt(shape[-1])


@pytest.mark.parametrize("covariance", [0.0, 0.7])
def test_loss(covariance: float) -> None:
    """By the formula, pair by pair, and its gradient by finite differences."""
    n, w, d, n_tracks, margin = 5, 3, 4, 40, 0.6
    users, tracks, negatives = places(2 * n, d)[:n], places(2 * n, d)[n:], places(n, w, d)
    total, met, first = 0.0, [], []
    for i in range(n):
        u, v = users[i].numpy(), tracks[i].numpy()
        near = ((u - v) ** 2).sum()
        far = [((u - negatives[i, j].numpy()) ** 2).sum() for j in range(w)]
        met.append(sum(near + margin > each for each in far) / w)
        first.append(int(np.argmin(far)))
        total += math.log(1 + n_tracks * met[-1]) * max(near - min(far) + margin, 0) / n
    assert len(set(met)) > 1
    assert len(set(first)) > 1
    c = np.cov(np.concatenate([users, tracks]).T, bias=True)
    total += covariance * sum(c[a, b] ** 2 for a, b in itertools.permutations(range(d), 2))
    which, impostors = nearest(users, tracks, negatives, margin)
    assert which.tolist() == first
    assert_allclose(impostors, met)

    def loss(rows: torch.Tensor) -> torch.Tensor:
        options: Any = {"n_tracks": n_tracks, "margin": margin, "covariance": covariance}
        return cml_loss(rows, impostors, **options)

    rows = torch.stack([users, tracks, negatives[range(n), which]]).requires_grad_()
    assert_allclose(float(loss(rows.detach())), total, rtol=1e-12)
    (slopes,) = torch.autograd.grad(loss(rows), rows)
    with torch.no_grad():
        steps = 1e-6 * torch.eye(rows.numel(), dtype=torch.float64).view(-1, *rows.shape)
        wanted = [float(loss(rows + step) - loss(rows - step)) / 2e-6 for step in steps]
    assert_allclose(slopes.ravel(), wanted, atol=1e-8)


def test_a_step_is_that_of_adagrad_on_whole_tables() -> None:
    """Rows that are there twice in a batch too; then places outside the ball are brought back."""
    _, pairs = some_positives(4, 9, 0.4)
    training = CmlTraining(pairs, CmlConfig(dimension=5, learning_rate=0.3, margin=2.0), seed=0)
    table = training.places.clone().requires_grad_()
    squares = torch.zeros_like(table)
    random = np.random.default_rng(0)
    reached = False
    for _ in range(3):
        users, tracks = (torch.from_numpy(random.integers(m, size=12)) for m in (4, 9))
        negatives = torch.from_numpy(random.integers(9, size=(12, 2)))
        training._learn(users, tracks, negatives)
        rows = table[users], table[4 + tracks], table[4 + negatives]
        which, impostors = nearest(*rows, 2.0)
        near = torch.stack([*rows[:2], rows[2][torch.arange(12), which]])
        loss = cml_loss(near, impostors, n_tracks=9, margin=2.0, covariance=1.0)
        (slope,) = torch.autograd.grad(loss, table)
        squares += slope**2
        with torch.no_grad():
            table -= 0.3 * slope / (squares.sqrt() + 1e-10)
            lengths = table.norm(dim=1, keepdim=True)
            reached |= bool((lengths > 1).any())
            table /= lengths.clamp(min=1)
        assert_allclose(training.places, table.detach(), atol=1e-5)
    assert reached
    assert not training._gradient.any()


# -- what is drawn ---------------------------------------------------------------------------------


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_unstreamed_tracks_are_drawn_by_weight(power: float) -> None:
    streamed, pairs = some_positives(5, 12, 0.5)
    weights = pairs.popularity.double() ** power
    weights[7] = 0  # as a track that nobody streamed
    drawn = Unstreamed(pairs, weights).draw(torch.arange(5), 4000, generator()).numpy()
    for user in range(5):
        counts = np.bincount(drawn[user], minlength=12)
        assert likely(counts, weights.numpy() * ~streamed[user])


def test_a_user_who_streamed_all_has_nothing_left() -> None:
    left = Unstreamed(positives([[1, 1], [1, 0]]), torch.ones(2).double()).left
    assert not left[0]
    assert left[1]


def test_candidates_are_drawn_without_putting_back() -> None:
    weights = torch.tensor([5.0, 0.0, 1.0, 2.0, 0.5], dtype=torch.float64)
    race, random = Candidates(weights, 2), generator()
    draws = np.array([race.draw(random).sort().values.tolist() for _ in range(4000)])
    p = weights.numpy() / weights.sum().item()
    pairs = list(itertools.combinations(range(5), 2))
    law = np.array([p[a] * p[b] * (1 / (1 - p[a]) + 1 / (1 - p[b])) for a, b in pairs])
    assert likely(np.array([(draws == pair).all(axis=1).sum() for pair in pairs]), law)
    assert sorted(Candidates(weights, 9).draw(random).tolist()) == [0, 2, 3, 4]


def by_similarity(user: int, track: int, n: int, **changes: Any) -> tuple[HostArray, HostArray]:
    """How often each track is drawn in the second stage, and the law's share of each."""
    streamed, pairs = some_positives(6, 10, 0.4)
    training = CmlTraining(pairs, CmlConfig(dimension=6, sampler="two-stage"), seed=1)
    for row, value in changes.items():
        training.places[6 + int(row[1:])] = value
    v = training.places[6:].numpy().astype(np.float64)
    s = v @ v[track]
    open_to = ~streamed[user] & streamed.any(axis=0)
    law = np.where((s > 0) & open_to, (1 - np.minimum(s**2, 0.999)) ** (1 - 5 / 2), 0)
    if not law.any():
        law = 1.0 * open_to
    # Rows share no noise with the tenth after them.
    users = torch.full((10 * n,), user)
    spare = torch.full((10 * n, 1), -1)
    total = int(pairs.lengths[users].sum())
    drawn = training._two_stage(users, torch.full_like(users, track), spare, total)
    return np.bincount(drawn[::10, 0], minlength=10), law


@pytest.mark.parametrize("user", range(3))
def test_the_second_stage_draws_by_similarity(user: int) -> None:
    counts, law = by_similarity(user, 0, 4000)
    assert likely(counts, law)
    assert (law > 0).sum() > 1


def test_where_no_candidate_is_similar_all_are_drawn_alike() -> None:
    up = torch.eye(6)[0]
    counts, law = by_similarity(1, 0, 2000, v0=up, **{f"v{i}": -0.1 * i * up for i in range(1, 10)})
    assert set(law) == {0, 1}
    assert likely(counts, law)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_streamed_track_is_ever_drawn(sampler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that nobody streamed; nor where a user streamed all candidates, or all there is."""
    streamed, _ = some_positives(30, 14, 0.5)
    streamed[:, 13], streamed[4], streamed[5, :12] = False, np.arange(14) < 13, True
    options = CmlConfig(dimension=4, sampler=sampler, candidates=3, negatives=2, batch_size=16)
    training = CmlTraining(positives(streamed), options, 0)
    met: list[tuple[HostArray, ...]] = []

    def noted(*tensors: torch.Tensor) -> torch.Tensor:
        met.append(tuple(each.numpy() for each in tensors))
        return CmlTraining._learn(training, *tensors)

    monkeypatch.setattr(training, "_learn", noted)
    for epoch in range(1, 9):
        training.epoch(epoch)
    users, tracks, negatives = (np.concatenate(each) for each in zip(*met, strict=True))
    assert negatives.shape == (len(users), 2)
    assert not streamed[users[:, None], negatives].any()
    assert set(negatives.ravel()) == set(range(1, 13))
    drawn = np.zeros((8, *streamed.shape), int)
    epoch_of = np.repeat(np.arange(8), training.n_pairs)
    np.add.at(drawn, (epoch_of, users, tracks), 1)
    wanted = streamed & (np.arange(30) != 4)[:, None]
    assert_array_equal(drawn, np.broadcast_to(wanted, drawn.shape))  # every pair once an epoch


# -- the space -------------------------------------------------------------------------------------


def two_tastes(engine: Engine, idle: int = 1) -> Any:
    """Forty users, half of whom play some of the first 6 tracks; ``idle`` tracks nobody plays."""
    random = np.random.default_rng(0)
    history = np.zeros((40, 12 + idle))
    history[:20, :6] = random.random((20, 6)) < 0.7
    history[20:, 6:12] = random.random((20, 6)) < 0.7
    order = np.argsort(-history.sum(axis=0), kind="stable")
    return hand_logs(engine, history[:, order], cold_day_one=np.eye(2, 12 + idle)), order < 6


PARAMETERS = CmlConfig(dimension=6, epochs=12, batch_size=32, candidates=8)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_fit(engine: Engine, sampler: str) -> None:
    logs, first = two_tastes(engine)
    steps: list[tuple[int, int]] = []
    options = PARAMETERS.replace(sampler=sampler)
    space = Cml.fit(engine, logs, options, 0, lambda done, of, text: steps.append((done, of)))
    users, tracks = engine.to_host(space.users), engine.to_host(space.tracks)
    assert (space.name, users.shape, tracks.shape) == ("cml", (40, 6), (13, 6))
    assert max(np.linalg.norm(users, axis=1).max(), np.linalg.norm(tracks, axis=1).max()) < 1 + 1e-6
    assert steps == [(i + 1, 12) for i in range(12)]
    assert space.losses[-1] < space.losses[0]
    assert not tracks[12].any()
    distances = np.linalg.norm(users[:, None] - tracks[None], axis=2)
    own, other = distances[:20][:, first].mean(), distances[:20][:, ~first][:, :6].mean()
    assert own < other - 0.3


def test_fit_depends_on_the_seed_only(engine: Engine) -> None:
    logs, _ = two_tastes(engine)
    one, again, other = (
        engine.to_host(Cml.fit(engine, logs, PARAMETERS.replace(epochs=2), seed, silent).tracks)
        for seed in (1, 1, 2)
    )
    assert_allclose(one, again, atol=1e-4 if engine.name == "cuda" else 0)
    assert np.abs(one - other).max() > 1e-2


def test_who_streamed_everything_teaches_nothing(engine: Engine) -> None:
    logs = hand_logs(engine, [[1, 1, 0], [2, 3, 0]], cold_day_one=[[1, 0, 0]])
    with pytest.raises(UserError, match="CML has nothing to tell apart"):
        Cml.check(engine, logs, PARAMETERS)
