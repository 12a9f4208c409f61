"""PMI, SVD, ALS and pooling: against loops over cells and exact dense algebra."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import Engine
from gpu_coldstart.engine.base import AlsOptions, HostArray, PmiOptions, SvdOptions
from tests.worlds import dense, sparse, sparse_rows

# -- pmi -------------------------------------------------------------------------------------------


def symmetric_counts(seed: int, n: int, share: float) -> HostArray:
    random = np.random.default_rng(seed)
    table = random.integers(1, 9, (n, n)) * (random.random((n, n)) < share)
    upper = np.triu(table, 1)
    return (upper + upper.T).astype(np.float32)


def naive_pmi(counts: HostArray, shift: float, smoothing: float, min_count: float) -> HostArray:
    n = len(counts)
    kept = {
        (i, j): float(counts[i, j])
        for i in range(n)
        for j in range(n)
        if counts[i, j] > 0 and counts[i, j] >= min_count
    }
    sums = [sum(value for (i, _), value in kept.items() if i == row) for row in range(n)]
    contexts = [value**smoothing if value else 0.0 for value in sums]
    found = np.zeros((n, n))
    for (i, j), value in kept.items():
        ratio = value * sum(contexts) / (sums[i] * contexts[j])
        found[i, j] = max(math.log(ratio) - math.log(shift), 0.0)
    return found


@given(
    seed=st.integers(0, 999),
    n=st.sampled_from([1, 2, 7, 33, 40]),
    share=st.sampled_from([0.0, 0.15, 0.6]),
    shift=st.sampled_from([1.0, 1.5, 0.5]),
    smoothing=st.sampled_from([1.0, 0.75]),
    min_count=st.sampled_from([1.0, 4.0]),
)
def test_pmi(
    engine: Engine,
    seed: int,
    n: int,
    share: float,
    shift: float,
    smoothing: float,
    min_count: float,
) -> None:
    counts = symmetric_counts(seed, n, share)
    found = engine.pmi(
        sparse(engine, counts),
        PmiOptions(shift=shift, smoothing=smoothing, min_count=min_count),
    )
    wanted = naive_pmi(counts, shift, smoothing, min_count)
    assert_allclose(dense(engine, found), wanted, rtol=1e-5, atol=1e-6)
    assert all(value > 0 for row in sparse_rows(found, engine) for value in row.values())
    assert found.nnz >= (wanted > 1e-6).sum()


def test_pmi_by_hand(engine: Engine) -> None:
    # Two pairs of tracks, each only ever together: N = 8, n_i = 2 or 2, n_ij = 2.
    counts = np.zeros((4, 4), np.float32)
    counts[0, 1] = counts[1, 0] = counts[2, 3] = counts[3, 2] = 2
    found = engine.pmi(sparse(engine, counts), PmiOptions())
    assert_allclose(dense(engine, found), np.where(counts > 0, math.log(4), 0), rtol=1e-6)
    # A shift as large as the association leaves nothing.
    assert not engine.pmi(sparse(engine, counts), PmiOptions(shift=5.0)).nnz


# -- svd -------------------------------------------------------------------------------------------


def low_rank(seed: int, m: int, n: int) -> HostArray:
    """A sparse matrix whose singular values fall quickly."""
    random = np.random.default_rng(seed)
    left = np.linalg.qr(random.normal(size=(m, min(m, n))))[0]
    right = np.linalg.qr(random.normal(size=(n, min(m, n))))[0]
    table: HostArray = (left * 0.6 ** np.arange(min(m, n))) @ right.T * 50
    return table.astype(np.float32)


@pytest.mark.parametrize(
    ("m", "n", "rank", "oversamples"),
    [(40, 40, 5, 12), (60, 25, 7, 10), (25, 60, 7, 10), (33, 33, 33, 4), (50, 1, 1, 3)],
)
def test_svd(engine: Engine, m: int, n: int, rank: int, oversamples: int) -> None:
    table = low_rank(m + n, m, n)
    found = engine.svd(
        sparse(engine, table),
        SvdOptions(rank=rank, oversamples=oversamples, power_iterations=4, seed=3),
    )
    u, s, vt = (engine.to_host(part) for part in (found.u, found.s, found.vt))
    assert (u.shape, s.shape, vt.shape) == ((m, rank), (rank,), (rank, n))
    assert {part.dtype for part in (u, s, vt)} == {np.dtype(np.float32)}
    u_all, s_all, vt_all = np.linalg.svd(table.astype(np.float64), full_matrices=False)
    assert_allclose(s, s_all[:rank], rtol=2e-4, atol=2e-5)
    assert_allclose(u.T @ u, np.eye(rank), atol=1e-4)
    assert_allclose(vt @ vt.T, np.eye(rank), atol=1e-4)
    lead = min(rank, 5)  # the smallest directions are lost in rounding
    signs = np.sign((u_all[:, :lead] * u[:, :lead]).sum(axis=0))
    assert_allclose(u[:, :lead], u_all[:, :lead] * signs, atol=2e-3)
    assert_allclose(vt[:lead], vt_all[:lead] * signs[:, None], atol=2e-3)
    largest = np.abs(u).argmax(axis=0)
    assert (u[largest, np.arange(rank)] > 0).all()


def test_svd_is_as_good_as_any_of_its_rank(engine: Engine) -> None:
    random = np.random.default_rng(0)
    table = (random.random((80, 50)) < 0.1) * random.random((80, 50))
    found = engine.svd(
        sparse(engine, table), SvdOptions(rank=8, oversamples=10, power_iterations=6, seed=0)
    )
    u, s, vt = (engine.to_host(part) for part in (found.u, found.s, found.vt))
    s_all = np.linalg.svd(table, compute_uv=False)
    best = math.sqrt(float(np.square(s_all[8:]).sum()))
    assert np.linalg.norm(table - (u * s) @ vt) < 1.001 * best


def test_svd_depends_on_the_seed_only(engine: Engine) -> None:
    matrix = sparse(engine, low_rank(5, 30, 30) * (np.random.default_rng(1).random((30, 30)) < 0.4))
    options = (SvdOptions(rank=4, oversamples=2, power_iterations=0, seed=s) for s in (1, 1, 2))
    runs = [engine.to_host(engine.svd(matrix, some).u) for some in options]
    assert_allclose(runs[0], runs[1], atol=1e-5 if engine.name == "cuda" else 0)
    assert np.abs(runs[0] - runs[2]).max() > 1e-4


# -- als -------------------------------------------------------------------------------------------


def affinities(seed: int = 0, shape: tuple[int, int] = (14, 11)) -> HostArray:
    random = np.random.default_rng(seed)
    return (random.integers(1, 5, shape) * (random.random(shape) < 0.4)).astype(np.float32)


OPTIONS = AlsOptions(
    factors=5, iterations=4, regularization=0.7, confidence=2.0, cg_steps=3, seed=1
)


def als(engine: Engine, table: HostArray, **more: Any) -> tuple[HostArray, HostArray, list[float]]:
    losses: list[float] = []

    def progress(iteration: int, loss: float) -> None:
        assert iteration == len(losses)
        losses.append(loss)

    users, tracks = engine.als(sparse(engine, table), replace(OPTIONS, **more), progress)
    return engine.to_host(users), engine.to_host(tracks), losses


def objective(
    table: HostArray, users: HostArray, tracks: HostArray, l2: float, confidence: float
) -> float:
    """The objective of the docstring, cell by cell, over the number of cells."""
    total = 0.0
    for u in range(table.shape[0]):
        for i in range(table.shape[1]):
            wanted, weight = (1.0, 1 + confidence * table[u, i]) if table[u, i] > 0 else (0.0, 1.0)
            total += weight * (wanted - float(users[u].astype(float) @ tracks[i])) ** 2
    total += l2 * float(np.square(users).sum() + np.square(tracks).sum())
    return total / table.size


@pytest.mark.parametrize(("l2", "confidence"), [(0.7, 2.0), (5.0, 0.5), (0.7, 30.0)])
def test_als_reports_the_objective_and_lowers_it(
    engine: Engine, l2: float, confidence: float
) -> None:
    table = affinities()
    for iterations in (1, 3):
        users, tracks, losses = als(
            engine, table, iterations=iterations, regularization=l2, confidence=confidence
        )
        assert (users.shape, tracks.shape) == ((14, 5), (11, 5))
        assert users.dtype == tracks.dtype == np.float32
        assert len(losses) == iterations
        assert_allclose(losses[-1], objective(table, users, tracks, l2, confidence), rtol=1e-5)
        assert all(after < before * 1.001 for before, after in pairwise(losses))
    assert losses[-1] < losses[0]


def exact(table: HostArray, other: HostArray, l2: float, confidence: float) -> HostArray:
    """Where each row's normal equations put it, the other side held still."""
    rows = []
    for row in table.astype(np.float64):
        weights = 1 + confidence * row
        gram = sum(w * np.outer(y, y) for w, y in zip(weights, other.astype(float), strict=True))
        right = sum(
            w * y for w, y, a in zip(weights, other.astype(float), row, strict=True) if a > 0
        )
        rows.append(
            np.linalg.solve(gram + l2 * np.eye(other.shape[1]), right + np.zeros(len(gram)))
        )
    return np.array(rows)


def test_als_settles_where_the_normal_equations_hold(engine: Engine) -> None:
    table = affinities()
    users, tracks, _ = als(engine, table, iterations=60, cg_steps=8)
    # Tracks are solved last, against the users as they stand.
    assert_allclose(tracks, exact(table.T, users, 0.7, 2.0), atol=1e-4)
    assert_allclose(users, exact(table, tracks, 0.7, 2.0), atol=2e-2)
    assert np.abs(users).max() > 0.3


def test_als_one_step_of_conjugate_gradients_is_less_exact(engine: Engine) -> None:
    table = affinities()
    errors = []
    for steps in (1, 8):
        users, tracks, _ = als(engine, table, iterations=2, cg_steps=steps)
        errors.append(np.abs(tracks - exact(table.T, users, 0.7, 2.0)).max())
    assert errors[1] < 1e-4 < errors[0]


@pytest.mark.parametrize(
    "change",
    [
        {"regularization": 1.4},
        {"confidence": 4.0},
        {"cg_steps": 1},
        {"seed": 2},
        {"iterations": 5},
    ],
    ids=str,
)
def test_als_heeds_its_options(engine: Engine, change: dict[str, Any]) -> None:
    table = affinities()
    users, tracks, _ = als(engine, table)
    changed_users, changed_tracks, _ = als(engine, table, **change)
    assert np.abs(users - changed_users).max() > 1e-4
    assert np.abs(tracks - changed_tracks).max() > 1e-4


def test_als_repeats_itself(engine: Engine) -> None:
    table = affinities(3, (70, 40))
    for one, other in zip(als(engine, table), als(engine, table), strict=True):
        assert_array_equal(one, other)


def test_als_of_empty_rows_and_columns_is_null(engine: Engine) -> None:
    table = affinities()
    table[3] = 0
    table[:, 6] = 0
    users, tracks, losses = als(engine, table, iterations=8)
    assert_array_equal(users[3], np.zeros(5))
    assert_array_equal(tracks[6], np.zeros(5))
    assert_allclose(losses[-1], objective(table, users, tracks, 0.7, 2.0), rtol=1e-5)


def test_als_with_an_odd_number_of_factors_and_one_track(engine: Engine) -> None:
    table = np.array([[1], [3], [0], [2]], np.float32)
    users, tracks, _ = als(engine, table, factors=33, iterations=40, cg_steps=8, regularization=0.1)
    assert tracks.shape == (1, 33)
    assert_allclose(tracks, exact(table.T, users, 0.1, 2.0), atol=1e-3)
    assert (users[[0, 1, 3]] @ tracks[0] > 0.7).all()


# -- pool ------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 12),
    m=st.sampled_from([1, 5, 60]),
    d=st.sampled_from([1, 31, 33, 128]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_pool(engine: Engine, seed: int, n: int, m: int, d: int, share: float) -> None:
    random = np.random.default_rng(seed)
    weights = (random.integers(1, 6, (n, m)) * (random.random((n, m)) < share)).astype(np.float32)
    embeddings = random.normal(size=(m, d)).astype(np.float32)
    found = engine.to_host(engine.pool(sparse(engine, weights), engine.asarray(embeddings)))
    assert found.shape == (n, d)
    assert found.dtype == np.float32
    for i in range(n):
        total = np.zeros(d)
        for j in range(m):
            total += float(weights[i, j]) * embeddings[j]
        wanted = total / weights[i].sum() if weights[i].any() else np.zeros(d)
        assert_allclose(found[i], wanted, rtol=1e-4, atol=1e-5)
        if not weights[i].any():
            assert not found[i].any()


@pytest.mark.parametrize("empty", ["first", "middle", "last", "all"])
def test_pool_finds_empty_rows_everywhere(engine: Engine, empty: str) -> None:
    weights = np.full((3, 2), 2.0, np.float32)
    rows = {"first": [0], "middle": [1], "last": [2], "all": [0, 1, 2]}[empty]
    weights[rows] = 0
    embeddings = np.array([[1.0, 2.0], [3.0, 6.0]], np.float32)
    found = engine.to_host(engine.pool(sparse(engine, weights), engine.asarray(embeddings)))
    for i in range(3):
        assert_allclose(found[i], [0.0, 0.0] if i in rows else [2.0, 4.0])


def test_pool_of_one_huge_row(engine: Engine) -> None:
    random = np.random.default_rng(4)
    weights = random.integers(1, 4, (1, 20_000)).astype(np.float32)
    embeddings = random.normal(loc=1.0, size=(20_000, 3)).astype(np.float32)
    found = engine.to_host(engine.pool(sparse(engine, weights), engine.asarray(embeddings)))
    wanted = np.average(embeddings.astype(np.float64), axis=0, weights=weights[0])
    assert_allclose(found[0], wanted, rtol=1e-4)
