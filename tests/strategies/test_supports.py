"""First days as labelled tracks, against one user at a time in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from gpu_coldstart.data.signals import SIGNALS
from gpu_coldstart.data.supports import supports
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from tests.strategies.contexts import N_COLD, N_TRACKS, N_WARM, Stage, World
from tests.worlds import sparse

SIGNED = {"streamed_songs": 0.2, "favorite_songs": 0.1, "skipped_songs": 0.2, "banned_songs": 0.1}
NOTHING = N_WARM + 3
"""A cold user who did nothing."""


def day_of(seed: int = 0) -> HostArray:
    """What users do with tracks on the first day [users, 18, tracks]."""
    random = np.random.default_rng(seed)
    day = np.zeros((N_WARM + N_COLD, len(SIGNALS), N_TRACKS))
    for place, signal in enumerate(SIGNALS):
        chosen = random.random(day[:, 0].shape) < SIGNED.get(signal.name, 0)
        day[:, place] = chosen * random.integers(1, 4, chosen.shape)
    day[NOTHING] = 0
    return day


def staged(engine: Engine, day: HostArray, world: World | None = None) -> Stage:
    registration = sparse(engine, day.reshape(-1, N_TRACKS))
    signals = engine.asarray(day.sum(axis=2).astype(np.float32))
    return (world or World()).stage(engine, registration=registration, signals=signals)


def naive_support(day: HostArray, size: int, seed: int = 0) -> list[tuple[int, float]]:
    """Tracks of one user by their labels."""
    events = dict(zip([signal.name for signal in SIGNALS], day, strict=True))

    def top(one: str, other: str) -> list[int]:
        counts = events[one] + events[other]
        return sorted(np.flatnonzero(counts).tolist(), key=lambda t: (-counts[t], t))[:size]

    liked = top("streamed_songs", "favorite_songs")
    order = np.random.default_rng(seed).permutation(N_TRACKS)
    drawn = [int(order[(sum(liked) + i) % N_TRACKS]) for i in range(len(liked))]
    others = [*top("skipped_songs", "banned_songs"), *(t for t in drawn if t not in liked)]
    return [(track, 1.0) for track in liked] + [(track, 0.0) for track in others]


def order_of(engine: Engine, seed: int = 0) -> Any:
    order = np.random.default_rng(seed).permutation(N_TRACKS)
    return engine.asarray(order.astype(np.int32))


@pytest.mark.parametrize(("size", "seed"), [(3, 0), (8, 1), (50, 0)])
def test_the_first_day_is_a_support(engine: Engine, size: int, seed: int) -> None:
    day = day_of()
    stage, users = staged(engine, day), np.array([3, 1, 18, 15, 0, 7, NOTHING])
    found = supports(
        engine,
        stage.users.registrations,
        engine.asarray(users),
        order=order_of(engine, seed),
        size=size,
    )
    tracks, labels, shares = map(engine.to_host, (found.tracks, found.labels, found.shares))
    assert tracks.shape == (len(users), 3 * min(size, N_TRACKS))
    for row, user in enumerate(users):
        there = shares[row] > 0
        wanted = naive_support(day[user], size, seed)
        assert list(zip(tracks[row][there], labels[row][there], strict=True)) == wanted
        assert_allclose(shares[row][there] * len(wanted), 1, rtol=1e-6)
    assert not shares[-1].any()
