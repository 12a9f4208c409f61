"""DropoutNet against one user at a time in plain NumPy, and its dropout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.competitors import DropoutNetConfig
from gpu_coldstart.data.signals import BLOCKS, SCALARS
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.models.dropoutnet import DropoutNetTraining, without
from gpu_coldstart.strategies.dropoutnet import content_columns
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, D, Stage, arrays_of, lists
from tests.strategies.test_gate import staged

K = 8
QUICK: dict[str, Any] = {"hidden": (7, 5), "rank": 4, "epochs": 3, "batch_size": 5, "top": 6}
CONTENT = content_columns(np, D)


def places_of(engine: Engine, network: Any, vectors: HostArray) -> HostArray:
    """Of each vector in the towers' space."""
    values = vectors.astype(float)
    *layers, last, last_offset = arrays_of(engine, network)
    for weights, offset in zip(layers[::2], layers[1::2], strict=True):
        values = np.tanh(values @ weights + offset)
    places: HostArray = values @ last + last_offset
    return places


def cold(engine: Engine, stage: Stage, kind: str) -> HostArray:
    """What the users' tower gets of cold users."""
    vectors = engine.to_host(stage.users.vectors())
    streamed = engine.to_host(stage.users.signal("streamed_songs"))
    known = streamed if kind == "transform" else np.zeros_like(streamed)
    return np.hstack([known, vectors[:, CONTENT]])


def training(engine: Engine, stage: Stage, **options: Any) -> DropoutNetTraining:
    past = stage.past
    return DropoutNetTraining(
        engine,
        past.inputs,
        engine.asarray(CONTENT),
        past.space,
        options=DropoutNetConfig(**QUICK | options),
        seed=0,
    )


def test_it_sees_nothing_of_skips_and_bans() -> None:
    names = [f"{name}.{place}" for name in BLOCKS for place in range(D)] + list(SCALARS)
    left = [names[column] for column in CONTENT]
    assert not [name for name in left if "skip" in name or "ban" in name]
    gone = sorted(set(names) - set(left))
    assert len(gone) == 6 * D + 6
    assert all("skip" in name or "ban" in name for name in gone)


@pytest.mark.parametrize("kind", ["null", "transform"])
def test_lists_follow_from_the_towers(engine: Engine, kind: str) -> None:
    _, stage = staged(engine)
    strategy = stage.strategy("dropoutnet-full", cold=kind, **QUICK)
    products = places_of(
        engine, strategy.state.network, cold(engine, stage, kind)
    ) @ engine.to_host(strategy.state.tracks).T.astype(float)
    tracks, scores = lists(engine, strategy.recommend(stage.users, K))
    for user in range(N_COLD):
        assert_allclose(scores[user], np.sort(products[user])[::-1][:K], rtol=1e-4, atol=1e-6)
        assert_allclose(products[user][tracks[user]], scores[user], rtol=1e-4, atol=1e-6)


def test_segments_are_of_the_towers_space(engine: Engine) -> None:
    _, stage = staged(engine)
    strategy: Any = stage.strategy("dropoutnet-semi")
    network = strategy._placing.state.network
    users = engine.to_host(stage.past.space.users)
    vectors = engine.to_host(stage.past.inputs.batch(engine.xp.arange(N_WARM)))
    warm = places_of(engine, network, np.hstack([users, vectors[:, CONTENT]]))
    found = engine.to_host(strategy._placing.warm(stage.past.inputs, stage.past.space.users))
    assert_allclose(found, warm, rtol=1e-4, atol=1e-6)
    centroids = engine.to_host(strategy.state.centroids)
    assert centroids.shape == (len(stage.context.centroids), warm.shape[1])

    def nearest(places: HostArray) -> HostArray:
        labels: HostArray = ((places[:, None] - centroids) ** 2).sum(axis=2).argmin(axis=1)
        return labels

    for segment in range(len(centroids)):
        mine = warm[nearest(warm) == segment]
        assert_allclose(centroids[segment], mine.mean(axis=0), rtol=1e-3, atol=1e-4)
    wanted = nearest(places_of(engine, network, cold(engine, stage, "null")))
    segments, _ = strategy.segments_of(stage.users)
    assert_array_equal(engine.to_host(segments)[:, 0], wanted)
    columns, shares = stage.context.engine.row_top(strategy.state.shares, K)
    tracks, scores = lists(engine, strategy.recommend(stage.users, K))
    assert tracks == engine.to_host(columns)[wanted].tolist()
    assert_array_equal(scores, engine.to_host(shares)[wanted])


@pytest.mark.parametrize(
    ("n", "share", "gone"), [(10, 0.5, 5), (7, 0.5, 3), (4, 0.0, 0), (4, 1, 4)]
)
def test_exactly_a_share_loses_its_place(n: int, share: float, gone: int) -> None:
    random = np.random.default_rng(0)
    masks = [without(random, n, share) for _ in range(40)]
    assert all((mask == 0).sum() == gone and set(mask) <= {0.0, 1.0} for mask in masks)
    if 0 < gone < n:
        assert len({tuple(mask) for mask in masks}) > 3


def towers_got(
    monkeypatch: pytest.MonkeyPatch, trained: DropoutNetTraining
) -> dict[int, list[torch.Tensor]]:
    """What either tower is given, step by step, before scaling."""
    got: dict[int, list[torch.Tensor]] = {0: [], 1: []}
    located = trained._located

    def noting(side: int, vectors: torch.Tensor) -> torch.Tensor:
        got[side].append(vectors.detach().cpu())
        return located(side, vectors)

    monkeypatch.setattr(trained, "_located", noting)
    return got


def test_both_sides_drop_out_on_their_own(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    _, stage = staged(engine)
    trained = training(engine, stage, batch_size=6)
    got = towers_got(monkeypatch, trained)
    trained.epoch(0)
    places = engine.to_host(stage.past.space.users)
    vectors = engine.to_host(stage.past.inputs.batch(engine.xp.arange(N_WARM)))
    seen = []
    for users in got[0]:
        known = users[:, :D].numpy()
        assert (np.abs(known).sum(axis=1) == 0).sum() == 3
        # Whoever lost the place keeps the content.
        rows = [
            np.flatnonzero((vectors[:, CONTENT] == row[D:].numpy()).all(axis=1)) for row in users
        ]
        for row, mine in zip(known, rows, strict=True):
            assert row.any() <= any((places[one] == row).all() for one in mine)
        seen += [one for mine in rows for one in mine]
    assert set(seen) == set(range(N_WARM))
    for tracks in got[1]:
        assert len(tracks) == 12
        assert (tracks.abs().sum(dim=1) == 0).sum() >= 6  # a track may have no place


def test_half_of_the_tracks_are_among_the_largest_products(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, stage = staged(engine)
    world.tracks += np.arange(N_TRACKS)[:, None] / 64  # so that a track is known by its place
    stage = world.stage(engine)
    trained = training(engine, stage, dropout=0.0, top=2, batch_size=N_WARM)
    got = towers_got(monkeypatch, trained)
    for epoch in range(20):
        trained.epoch(epoch)
    products = world.users @ world.tracks.T
    best = np.sort(products, axis=1)[:, -2]
    any_track = set[int]()
    for users, tracks in zip(got[0], got[1], strict=True):
        numbers = [
            int(np.flatnonzero((world.tracks == track.numpy()).all(axis=1))[0]) for track in tracks
        ]
        for row, track in zip(users[:, :D].numpy(), numbers, strict=False):
            mine = np.flatnonzero((world.users == row).all(axis=1))
            assert (products[mine, track] >= best[mine] - 1e-5).all()
        any_track |= set(numbers[N_WARM:])
    assert any_track == set(range(N_TRACKS))


def test_without_any_place_nothing_is_learned_of_places(engine: Engine) -> None:
    _, stage = staged(engine)
    trained = training(engine, stage, dropout=1.0)
    weights = next(trained.towers[0].parameters())  # the first layer's, of places and then content
    before = weights.detach().clone()
    for epoch in range(3):
        trained.epoch(epoch)
    torch.testing.assert_close(weights[:, :D], before[:, :D])
    assert not torch.allclose(weights[:, D:], before[:, D:])


def test_it_learns_the_products(engine: Engine) -> None:
    _, stage = staged(engine)
    whole: dict[str, Any] = {"dropout": 0.0, "batch_size": N_WARM, "hidden": (32,), "rank": D}
    trained = training(engine, stage, learning_rate=0.02, **whole)
    losses = [trained.epoch(epoch) for epoch in range(150)]
    products = engine.to_host(stage.past.space.users) @ engine.to_host(stage.past.space.tracks).T
    assert losses[0] > 0.5 * products.var()
    assert np.mean(losses[-5:]) < 0.2 * products.var()
