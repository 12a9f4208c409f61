"""TT-SVD: collections, co-occurrence and the whole space against dense NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.components import TtSvdConfig
from gpu_coldstart.config.parameters import Config, SplitConfig
from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import HostArray
from gpu_coldstart.errors import UserError
from gpu_coldstart.spaces import Space, unit_rows
from gpu_coldstart.spaces.tt_svd import TtSvd, collections, cooccurrence
from tests.expectations import expect
from tests.worlds import dense, hand_logs, some_world, sparse, stored


def quiet(done: int, of: int, text: str) -> None:
    pass


def test_unit_rows(engine: Engine) -> None:
    rows = np.array([[3.0, -4.0], [0.0, 0.0], [0.0, 1e-3]], np.float32)
    found = engine.to_host(unit_rows(engine.asarray(rows)))
    assert found.dtype == np.float32
    assert_allclose(found, [[0.6, -0.8], [0.0, 0.0], [0.0, 1.0]], rtol=1e-6)


# -- collections -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [2, 5, 100])
def test_collections_of_playlists(engine: Engine, seed: int, limit: int) -> None:
    config = Config(split=SplitConfig(warm_until="all"))
    raw = some_world(seed)
    wanted = expect(raw, config)
    sets, notes = collections(engine, raw.logs(engine, config), TtSvdConfig(max_tracks=limit))
    assert notes == ()
    table = dense(engine, sets)
    assert table.shape == (len(wanted.playlists), len(wanted.tracks))
    for i, number in enumerate(wanted.playlists):
        members = wanted.members["playlist", number]
        most_popular = [place for place, track in enumerate(wanted.tracks) if track in members]
        assert np.flatnonzero(table[i]).tolist() == most_popular[:limit]
    assert set(table.ravel().tolist()) == {0.0, 1.0}


def test_collections_without_playlists_are_histories(engine: Engine) -> None:
    history = [[1, 5, 2, 2, 0], [1, 1, 0, 0, 4], [2, 0, 0, 0, 0], [9, 2, 2, 1, 0]]
    logs = hand_logs(engine, history, cold_day_one=[[1, 0, 0, 0, 0]])
    sets, notes = collections(engine, logs, TtSvdConfig(max_tracks=2))
    # The two most played; equally often played: the more popular.
    assert_array_equal(
        dense(engine, sets),
        [[0, 1, 1, 0, 0], [1, 0, 0, 0, 1], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]],
    )
    assert len(notes) == 1
    assert "no playlists" in notes[0]


@pytest.mark.parametrize(("seed", "n_sets", "n_tracks"), [(0, 6, 9), (1, 40, 33), (2, 1, 5)])
def test_cooccurrence(engine: Engine, seed: int, n_sets: int, n_tracks: int) -> None:
    random = np.random.default_rng(seed)
    sets = (random.random((n_sets, n_tracks)) < 0.3).astype(np.float32)
    wanted = np.zeros((n_tracks, n_tracks))
    for row in sets:
        together = np.flatnonzero(row)
        for i in together:
            for j in together:
                wanted[i, j] += i != j
    found = cooccurrence(engine, sparse(engine, sets))
    assert_array_equal(dense(engine, found), wanted)
    assert_array_equal(stored(engine, found), wanted > 0)


# -- the space -------------------------------------------------------------------------------------


def naive_space(
    sets: HostArray, history: HostArray, options: TtSvdConfig
) -> tuple[HostArray, HostArray, HostArray]:
    """Track vectors up to a rotation, user vectors likewise, and all singular values."""
    n = sets.shape[1]
    counts = sets.T.astype(np.float64) @ sets
    counts[np.arange(n), np.arange(n)] = 0
    counts[counts < options.min_count] = 0
    sums = counts.sum(axis=1)
    contexts = np.array([value**options.smoothing if value else 0.0 for value in sums])
    pmi = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if counts[i, j]:
                value = math.log(counts[i, j] * contexts.sum() / (sums[i] * contexts[j]))
                pmi[i, j] = max(value - math.log(options.shift), 0)
    u, s, _ = np.linalg.svd(pmi)
    d = options.dimension
    tracks = unit(u[:, :d] * s[:d] ** options.exponent)
    weights = history if options.history == "streams" else (history > 0).astype(float)
    return tracks, unit(weights @ tracks / weights.sum(axis=1, keepdims=True)), s


def unit(rows: HostArray) -> HostArray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.where(lengths > 1e-9, rows / np.maximum(lengths, 1e-9), 0)


def some_logs(engine: Engine) -> tuple[Any, HostArray, HostArray]:
    """Twenty tracks in playlists of two kinds, and the last in no playlist."""
    random = np.random.default_rng(1)
    history = random.integers(1, 6, (12, 21)) * (random.random((12, 21)) < 0.5)
    history[:, 0] = 1
    history = history[:, np.argsort(-(history > 0).sum(axis=0), kind="stable")]
    likes = np.where(np.arange(21) % 2 == np.arange(30)[:, None] % 2, 0.5, 0.15)
    sets = (random.random((30, 21)) < likes).astype(float)
    sets[:, 20] = 0
    logs = hand_logs(engine, history, cold_day_one=np.eye(2, 21), members=sets)
    return logs, sets, history


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"exponent": 1.0},
        {"exponent": 0.0},
        {"history": "streams"},
        {"smoothing": 0.75, "shift": 1.2},
        {"min_count": 3},
    ],
    ids=str,
)
def test_fit(engine: Engine, options: dict[str, Any]) -> None:
    chosen = TtSvdConfig(dimension=4, oversamples=17, **options)
    logs, sets, history = some_logs(engine)
    tracks, users, singular = naive_space(sets, history, chosen)
    assert singular[3] > 1.02 * singular[4], "an ambiguous cut tests nothing"
    space = TtSvd.fit(engine, logs, chosen, 0, quiet)
    assert space.name == "tt-svd"
    found, placed = engine.to_host(space.tracks), engine.to_host(space.users)
    assert (found.shape, placed.shape) == ((21, 4), (12, 4))
    # Equal up to a rotation, so equal in every inner product.
    assert_allclose(found @ found.T, tracks @ tracks.T, atol=2e-3)
    assert_allclose(placed @ found.T, users @ tracks.T, atol=2e-3)
    assert_allclose(np.linalg.norm(placed, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("alone", [0, 2, 20])
def test_fit_leaves_a_track_without_company_null(engine: Engine, alone: int) -> None:
    _, sets, history = some_logs(engine)
    sets[:, [alone, 20]] = sets[:, [20, alone]]
    logs = hand_logs(engine, history, cold_day_one=np.eye(2, 21), members=sets)
    space = TtSvd.fit(engine, logs, TtSvdConfig(dimension=4), 0, quiet)
    lengths = np.linalg.norm(engine.to_host(space.tracks), axis=1)
    assert lengths[alone] == 0
    assert_allclose(np.delete(lengths, alone), 1, rtol=1e-5)


def test_fit_tells_its_progress_and_notes(engine: Engine) -> None:
    history = np.ones((4, 6)) * np.tri(4, 6, 3)
    logs = hand_logs(engine, history, cold_day_one=np.eye(1, 6))
    steps: list[tuple[int, int]] = []
    space: Space = TtSvd.fit(
        engine,
        logs,
        TtSvdConfig(dimension=2),
        0,
        lambda done, of, text: steps.append((done, of)),
    )
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert any("no playlists" in note for note in space.notes)


def test_fit_refuses_more_dimensions_than_tracks(engine: Engine) -> None:
    logs, _, _ = some_logs(engine)
    with pytest.raises(UserError, match=r"tt_svd\.dimension.* 22.* 21 tracks"):
        TtSvd.fit(engine, logs, TtSvdConfig(dimension=22), 0, quiet)


def test_fit_refuses_tracks_that_are_never_together(engine: Engine) -> None:
    logs = hand_logs(engine, np.eye(5), cold_day_one=np.eye(1, 5))
    with pytest.raises(UserError, match="no two tracks co-occur"):
        TtSvd.fit(engine, logs, TtSvdConfig(dimension=2), 0, quiet)
