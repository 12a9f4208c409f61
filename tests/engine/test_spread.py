"""Fits of matrices that lie in parts: what the parts come to is what one machine finds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import choose, settle, spread
from gpu_coldstart.engine.base import AlsOptions, Csr, Engine, HostArray, PmiOptions, SvdOptions


@pytest.fixture(scope="module")
def cpu() -> Engine:
    return choose("cpu")[0]


def drawn(engine: Engine, shape: tuple[int, int], *, symmetric: bool = False) -> Csr:
    """Small whole numbers in a fifth of the places."""
    random = np.random.default_rng(5)
    table = random.integers(1, 6, shape) * (random.random(shape) < 0.2)
    if symmetric:
        table = np.triu(table, 1) + np.triu(table, 1).T
    table[:, 4] = 0
    table[4] *= not symmetric
    rows, columns = table.nonzero()
    return engine.csr(rows, columns, table[rows, columns].astype(np.float32), shape)


def parts(engine: Engine, matrix: Csr) -> list[tuple[HostArray, Csr]]:
    """Every third row, from each of the first three."""
    every = (np.arange(start, matrix.shape[0], 3) for start in range(3))
    return [(rows, engine.take_rows(matrix, rows)) for rows in every]


@pytest.mark.parametrize(("smoothing", "least"), [(1.0, 1.0), (0.75, 2.0)])
def test_pmi_and_its_svd(cpu: Engine, smoothing: float, least: float) -> None:
    counts = drawn(cpu, (40, 40), symmetric=True)
    options = PmiOptions(shift=1.1, smoothing=smoothing, min_count=least)
    totals = np.zeros(40)
    for rows, part in parts(cpu, counts):
        totals[rows] = spread.totals_of(part, options)
    whole = cpu.pmi(counts, options)
    for rows, part in parts(cpu, counts):
        found = spread.pmi_of_rows(part, totals, options, own=rows)
        wanted = cpu.take_rows(whole, rows)
        for name in ("indptr", "indices", "data"):
            assert_array_equal(getattr(found, name), getattr(wanted, name))

    def times(dense: HostArray, *, across: bool = False) -> HostArray:
        out = np.zeros(dense.shape, np.float32)
        for rows, part in parts(cpu, counts):
            pmi = spread.pmi_of_rows(part, totals, options, own=rows, across=across)
            out[rows] = spread.times(pmi, dense)
        return out

    how = SvdOptions(rank=6, oversamples=5, power_iterations=2, seed=1)
    svd = spread.svd_by(times, lambda dense: times(dense, across=True), (40, 40), how)
    wanted_svd = cpu.svd(whole, how)
    assert_allclose(svd.s, wanted_svd.s, rtol=1e-5)
    assert_allclose(svd.u, wanted_svd.u, atol=1e-4)


class InParts:
    """Users in parts, as :class:`gpu_coldstart.engine.spread.Spread` has them."""

    def __init__(self, engine: Engine, affinity: Csr, options: AlsOptions):
        confidence = affinity.with_data(1 + np.float32(options.confidence) * affinity.data)
        self.shape, self.total = affinity.shape, float(confidence.data.sum())
        self._options = options
        starts = range(0, affinity.shape[0], 10)
        ranges = [np.arange(start, min(start + 10, affinity.shape[0])) for start in starts]
        self._parts = [engine.take_rows(confidence, rows) for rows in ranges]
        self.users = [spread.start(options, int(rows[0]), len(rows)) for rows in ranges]

    def solve(self, tracks: HostArray, gram: HostArray) -> None:
        self.users = [
            spread.solved(part, users, tracks, gram, self._options)
            for part, users in zip(self._parts, self.users, strict=True)
        ]

    def pulls(self, vectors: HostArray, *, first: bool) -> HostArray:
        n, d = vectors.shape
        out = np.zeros((n + d, d + 1), np.float32)
        for part, users in zip(self._parts, self.users, strict=True):
            spread.pulls(part, users, vectors, out, first=first)
        return out


@pytest.mark.parametrize("factors", [5, 8])
def test_als(cpu: Engine, factors: int) -> None:
    affinity = drawn(cpu, (61, 23))
    options = AlsOptions(
        factors=factors, iterations=3, regularization=0.5, confidence=2.0, cg_steps=3, seed=7
    )
    losses: list[float] = []
    users, tracks = cpu.als(affinity, options, lambda _, loss: losses.append(loss))
    tracks[4] = 0  # nobody is drawn to it
    mine: list[float] = []
    spread_out = InParts(cpu, affinity, options)
    found = spread.als(spread_out, options, lambda _, loss: mine.append(loss))
    assert_allclose(mine, losses, rtol=1e-4)
    assert_allclose(found, tracks, atol=5e-3)
    assert_allclose(np.concatenate(spread_out.users), users, atol=5e-3)
    assert not found[4].any()
    # What has arrived stays where it is, however often it is solved again.
    settled = replace(options, iterations=1, cg_steps=200, factors=2)
    one = spread.als(InParts(cpu, affinity, settled), settled, lambda *_: None)
    assert_allclose(one, cpu.als(affinity, settled, lambda *_: None)[1] * (one != 0), atol=1e-4)


@pytest.mark.parametrize("factors", [3, 4])
def test_a_part_starts_where_it_does_on_one_machine(factors: int) -> None:
    options = AlsOptions(
        factors=factors, iterations=1, regularization=1, confidence=1, cg_steps=1, seed=3
    )
    random = np.random.default_rng(3)
    whole = random.random((9, factors), np.float32) * np.float32(0.01)
    for first, n in [(0, 9), (1, 4), (5, 4)]:
        assert_array_equal(spread.start(options, first, n), whole[first : first + n])


class Scattered:
    """Points in parts, as :class:`gpu_coldstart.engine.spread.Crowd` has them."""

    def __init__(self, points: HostArray):
        numbers = np.arange(len(points), dtype=np.int32)
        self._parts = [(numbers[i::3], np.ascontiguousarray(points[i::3])) for i in range(3)]

    def sums(self, centroids: HostArray) -> HostArray:
        k, d = centroids.shape
        out = np.zeros((k, d + 2))
        for _, points in self._parts:
            spread.add_points(points, centroids, out)
        return out

    def farthest(self, centroids: HostArray, several: HostArray, n: int) -> spread.Far:
        found = [spread.farthest(*part, centroids, several, n) for part in self._parts]
        far = spread.Far(*map(np.concatenate, zip(*found, strict=True)))
        first = np.lexsort((far.numbers, -far.squares))[:n]
        return spread.Far(*(each[first] for each in far))


def lloyd(
    points: HostArray, centroids: HostArray, iterations: int
) -> tuple[HostArray, HostArray, list[float]]:
    """Centroids, labels and the inertia before each iteration, by all distances."""
    inertias: list[float] = []
    while len(inertias) <= iterations:
        squares = np.square(points[:, None].astype(np.float64) - centroids).sum(axis=2)
        labels, nearest = squares.argmin(axis=1), squares.min(axis=1)
        labels = settle.occupy_all(np, labels, nearest.astype(np.float32), len(centroids))
        members = [points[labels == label] for label in range(len(centroids))]
        centroids = np.array([each.mean(axis=0, dtype=np.float64) for each in members], np.float32)
        inertias.append(float(nearest.sum()))
        if len(inertias) > 1 and inertias[-1] > (1 - 5e-4) * inertias[-2]:
            break
    return centroids, labels, inertias


@pytest.mark.parametrize("far", [0, 1, 7])
@pytest.mark.parametrize("seed", range(4))
def test_kmeans(seed: int, far: int) -> None:
    """With ``far`` centroids that no point is near, and once as many segments as points.

    Coordinates are small whole numbers, so that ties and equal points abound.
    """
    random = np.random.default_rng(seed)
    points = random.integers(-4, 5, (60, 3)).astype(np.float32)
    start = points[random.permutation(60)[:12]].copy()
    start[12 - far :] += 1000
    if seed == 3:  # every point is a segment
        points = points[:12]
    said: list[float] = []
    found = spread.kmeans(Scattered(points), start, 9, lambda _, inertia: said.append(inertia))
    centroids, labels, inertias = lloyd(points, start, 9)
    numbers = np.arange(len(points), dtype=np.int32)
    assert_array_equal(spread.labels_of(found, numbers, points), labels)
    assert_allclose(said, inertias, rtol=1e-5, atol=1e-4)
    assert_allclose(found.centroids, centroids, atol=1e-6)
    assert_array_equal(found.sizes, np.bincount(labels, minlength=12))
    assert (found.sizes > 0).all()
    assert_allclose(
        found.inertia, np.square(points - centroids[labels]).sum(), rtol=1e-5, atol=1e-3
    )
