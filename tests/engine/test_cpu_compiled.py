"""The CPU engine's compiled loops: what no test of the contract sees."""

from __future__ import annotations

import pickle
import runpy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from numba.core.caching import CacheImpl
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.cluster import kmeans_plusplus

from gpu_coldstart.engine.base import AlsOptions, Csr, HostArray, KmeansOptions
from gpu_coldstart.engine.cpu import als as cpu_als
from gpu_coldstart.engine.cpu import engine as cpu_engine
from gpu_coldstart.engine.cpu import geometry, products, ranking, search, sparse, tally
from gpu_coldstart.engine.cpu import jit as cpu_jit
from gpu_coldstart.engine.cpu import kmeans as cpu_kmeans
from gpu_coldstart.engine.cpu.sparse import from_scipy
from tests.runs.helpers import one_thread

SCRIPT = """
import hashlib
import numpy as np
from gpu_coldstart.engine import choose
from gpu_coldstart.engine.base import AlsOptions, KmeansOptions
engine = choose("cpu")[0]
random = np.random.default_rng(0)
table = (random.random((400, 90)) < 0.3) * random.random((400, 90))
matrix = engine.csr(*np.nonzero(table), table[table > 0], table.shape)
users, tracks = engine.als(
    matrix,
    AlsOptions(factors=37, iterations=3, regularization=0.5, confidence=3.0, cg_steps=3, seed=0),
    lambda *_: None,
)
found = engine.kmeans(users, KmeansOptions(k=20, iterations=4, seed=0))
labels, distances = engine.nearest(users, found.centroids, 3)
pooled = engine.pool(matrix, tracks)
for part in (users, tracks, found.centroids, labels, distances, pooled):
    print(hashlib.sha256(np.ascontiguousarray(part).tobytes()).hexdigest())
"""


def test_new_machine_code_and_kept_one_find_the_same_bits(tmp_path: Path) -> None:
    environment = one_thread() | {"NUMBA_CACHE_DIR": str(tmp_path)}
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
        found.append(done.stdout.split())
        assert list(tmp_path.rglob("*.nbc")), "no machine code was kept"
    assert len(set(found[0])) == 6
    assert found[0] == found[1]


def test_functions_compile_where_nothing_can_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])

    @cpu_jit.compiled
    def doubled(value: float) -> float:
        return 2 * value

    assert doubled(21.0) == 42.0


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("file", ["*.nbi", "*.nbc"], ids=["index", "code"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: bytes(len(content)),
        lambda content: pickle.dumps("text"),
        flipped,
        None,
    ],
    ids=["empty", "half", "short", "zeros", "other", "flipped", "unreadable"],
)
def test_damaged_machine_code_is_compiled_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    damage: Callable[[bytes], bytes] | None,
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "some.py").write_text(
        "from gpu_coldstart.engine.cpu.jit import compiled\n"
        "@compiled\ndef doubled(value):\n    return 2 * value\n"
    )

    def kept() -> bool:
        """Whether a new process would take the code from the disk."""
        doubled = runpy.run_path(str(tmp_path / "some.py"))["doubled"]
        assert doubled(21.0) == 42.0
        return bool(doubled.stats.cache_hits)

    assert not kept()
    assert kept()
    (place,) = (tmp_path / "cache").rglob(file)
    if damage is None:
        place.unlink()
        place.mkdir()
    else:
        place.write_bytes(damage(place.read_bytes()))
    assert not kept() or file == "*.nbi"  # where the damage is in what nobody reads
    assert kept() == (damage is not None)


def test_the_number_of_threads_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several threads, each takes many of many short runs of rows."""
    monkeypatch.setattr(cpu_als, "_ROWS", 4)
    monkeypatch.setattr(sparse, "_ROWS", 4)
    monkeypatch.setattr(products, "_FEW_ROWS", 4)
    monkeypatch.setattr(products, "_ROWS", 4)
    monkeypatch.setattr(geometry, "_CACHED", 1 << 10)
    monkeypatch.setattr(search, "_QUERIES", 300)
    matrix = affinity(0, (300, 200))
    points = np.random.default_rng(0).normal(size=(2000, 40)).astype(np.float32)

    def found(threads: int) -> list[HostArray]:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        users, tracks = fitted(matrix)
        clusters = cpu_kmeans.kmeans(points, KmeansOptions(k=30, iterations=3, seed=0))
        pooled = np.empty((300, 40), np.float32)
        sparse.pool(matrix, points[:200], None, pooled)
        both = products.times_sparse(matrix, sparse.from_scipy(sparse.to_scipy(matrix).T.tocsr()))
        product = products.times_dense(sparse.to_scipy(matrix), points[:200])
        nearest = geometry.nearest(points, clusters.centroids, 3)
        learned = [users, tracks, clusters.centroids, clusters.labels, pooled]
        return [*learned, both.indptr, both.indices, both.data, product, *nearest]

    for one, other in zip(found(1), found(5), strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("width", [40, 4000])  # most columns of a row are met, and few
def test_a_sparse_product_has_the_bits_of_scipys(width: int) -> None:
    """With what cancels out left out."""
    random = np.random.default_rng(0)
    half = random.normal(size=(90, 30)) * (random.random((90, 30)) < 0.2)
    other = random.normal(size=(30, width)) * (random.random((30, width)) < 0.05)
    left = sp.csr_array(np.hstack([half, -half[:, ::-1]]).astype(np.float32))
    right = sp.csr_array(np.vstack([other, other[::-1]]).astype(np.float32))
    found = products.times_sparse(from_scipy(left), from_scipy(right))
    wanted = from_scipy(left @ right)
    assert found.shape == wanted.shape
    for part in ("indptr", "indices", "data"):
        assert_array_equal(getattr(found, part), getattr(wanted, part))
    assert found.nnz < (abs(left) @ abs(right)).nnz


def affinity(seed: int, shape: tuple[int, int]) -> Csr:
    random = np.random.default_rng(seed)
    table = (1 + random.random(shape)) * (random.random(shape) < 0.3)
    return from_scipy(sp.coo_array(table).tocsr())


def fitted(matrix: Csr) -> tuple[HostArray, HostArray]:
    options = AlsOptions(
        factors=9, iterations=3, regularization=0.5, confidence=1.0, cg_steps=3, seed=0
    )
    return cpu_als.als(matrix, options, lambda *_: None)


def test_als_stops_where_a_row_has_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = affinity(1, (50, 40))
    start = np.random.default_rng(0).random((50, 9), dtype=np.float32) * np.float32(0.01)
    monkeypatch.setattr(cpu_als, "ARRIVED", 1e9)
    assert_array_equal(fitted(matrix)[0], start)


def test_kmeans_starts_as_well_as_another_library() -> None:
    points = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)

    def potential(chosen: HostArray) -> float:
        apart = np.linalg.norm(points[:, None] - chosen[None], axis=2).min(axis=1)
        return float(np.square(apart).sum())

    lengths = np.square(points).sum(axis=1)
    ours, theirs = [], []
    for seed in range(6):
        chosen = cpu_kmeans._plus_plus(points, lengths, 40, np.random.default_rng(seed))
        assert (points[:, None] == chosen[None]).all(axis=2).any(axis=0).all(), "points all"
        assert len(np.unique(chosen, axis=0)) == 40
        ours.append(potential(chosen))
        theirs.append(potential(kmeans_plusplus(points, 40, random_state=seed)[0]))
    at_random = potential(points[:40])
    assert_allclose(np.mean(ours), np.mean(theirs), rtol=0.02)
    assert np.mean(ours) < 0.95 * at_random


def test_kmeans_starts_in_every_far_group() -> None:
    """Draws by the distances of an earlier step would fall where a step has chosen since."""
    random = np.random.default_rng(0)
    centres = 100 * random.normal(size=(60, 8))
    points = np.repeat(centres, 20, axis=0) + random.normal(size=(1200, 8))
    points = points.astype(np.float32)
    lengths = np.square(points).sum(axis=1)
    for seed in range(6):
        chosen = cpu_kmeans._plus_plus(points, lengths, 60, np.random.default_rng(seed))
        apart = np.linalg.norm(centres[:, None] - chosen[None], axis=2)
        assert len(set(apart.argmin(axis=0).tolist())) == 60


def test_kmeans_ends_where_the_inertia_hardly_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.random.default_rng(0).normal(size=(4000, 3)).astype(np.float32)
    calls = []
    assign = cpu_kmeans.assign

    def counted(*arguments: HostArray) -> tuple[HostArray, HostArray]:
        calls.append(1)
        return assign(*arguments)

    monkeypatch.setattr(cpu_kmeans, "assign", counted)
    options = KmeansOptions(k=30, iterations=200, seed=0)
    found = cpu_kmeans.kmeans(points, options)
    taken = len(calls)
    assert 3 < taken < 100
    monkeypatch.setattr(cpu_kmeans, "_CONVERGED", 0.0)
    settled = cpu_kmeans.kmeans(points, options)
    assert len(calls) - taken > taken
    assert settled.inertia < found.inertia < 1.02 * settled.inertia


# -- NumPy where an input is small ---------------------------------------------------------------


def both_ways(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> tuple[Any, Any]:
    """What work returns by NumPy, and compiled."""
    results = []
    for few in (True, False):
        with monkeypatch.context() as patch:
            for module in (cpu_engine, geometry, ranking, sparse):
                patch.setattr(module, "small", lambda _, few=few: few)
            results.append(work())
    return results[0], results[1]


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (1, 40, 7), (50, 90, 128), (33, 500, 31)])
@pytest.mark.parametrize("group", [1, 3])
def test_pool_is_the_same_compiled_or_not(
    monkeypatch: pytest.MonkeyPatch, n: int, m: int, d: int, group: int
) -> None:
    random = np.random.default_rng(n + m)
    table = random.random((n, m)) * (random.random((n, m)) < 0.4)
    table[::4] = 0
    weights = from_scipy(sp.coo_array(table.astype(np.float32)).tocsr())
    embeddings = random.normal(size=(m, d)).astype(np.float32)
    rows = random.integers(0, n, 5 * group)

    def pooled() -> HostArray:
        wide = np.full((5, group * d + 2), np.float32(7))
        sparse.pool(weights, embeddings, rows, wide[:, 1:-1])
        return wide

    one, other = both_ways(monkeypatch, pooled)
    assert_array_equal(one, other)
    assert (one[:, [0, -1]] == 7).all()


def test_rows_taken_are_the_same_by_numpy_and_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    table = random.random((30, 40)) * (random.random((30, 40)) < 0.3)
    matrix = from_scipy(sp.coo_array(table.astype(np.float32)).tocsr())
    for rows in (random.integers(0, 30, 50), np.arange(0)):
        one, other = both_ways(monkeypatch, partial(sparse.take_rows, matrix, rows))
        assert one.shape == other.shape == (len(rows), 40)
        for part in ("indptr", "indices", "data"):
            mine, theirs = getattr(one, part), getattr(other, part)
            assert mine.dtype == theirs.dtype
            assert_array_equal(mine, theirs)


@pytest.mark.parametrize("depth", [0, 1, 5, 60])
def test_the_best_of_rows_are_the_same_compiled_or_not(
    monkeypatch: pytest.MonkeyPatch, depth: int
) -> None:
    random = np.random.default_rng(0)
    table = np.round(random.normal(size=(150, 60)) * 2) * (random.random((150, 60)) < 0.7)
    table[3:9] = 0
    matrix = from_scipy(sp.coo_array(table.astype(np.float32)).tocsr())
    matrix.data[::50], matrix.data[::70], matrix.data[::90] = np.nan, np.inf, -0.0
    one, other = both_ways(monkeypatch, partial(ranking.row_top, matrix, depth))
    for mine, theirs in zip(one, other, strict=True):
        assert mine.dtype == theirs.dtype
        assert_array_equal(mine, theirs)


@pytest.mark.parametrize("pays", [True, False])
@pytest.mark.parametrize("k", [1, 7, 400])
def test_segments_are_counted_the_same_compiled_or_not(
    monkeypatch: pytest.MonkeyPatch, k: int, pays: bool
) -> None:
    random = np.random.default_rng(k)
    table = random.random((90, 50)) < 0.2
    table[:9] = False
    matrix = from_scipy(sp.coo_array(table.astype(np.float32)).tocsr())
    labels = random.integers(0, max(1, k - 1), 90).astype(np.int32)
    monkeypatch.setattr(tally, "dense_pays", lambda *_: pays)
    count = cpu_engine.CpuEngine().segment_counts
    for found in both_ways(monkeypatch, partial(count, labels, matrix, k)):
        wanted = np.zeros((k, 50), int)
        np.add.at(wanted, labels, table)
        assert_array_equal(sparse.to_scipy(found).toarray(), wanted)
        assert found.indptr.dtype == np.int64
        assert found.indices.dtype == np.int32
        assert found.data.dtype == np.float32
        assert found.nnz == (wanted > 0).sum()


@pytest.mark.parametrize("whole_numbers", [True, False])
def test_neighbours_are_the_same_compiled_or_not(
    monkeypatch: pytest.MonkeyPatch, whole_numbers: bool
) -> None:
    random = np.random.default_rng(3)
    queries, items = (random.normal(size=(n, 33)).astype(np.float32) for n in (70, 400))
    if whole_numbers:  # ties, so that all items are ranked
        queries, items = np.round(queries), np.round(items)
    for find, n in ((geometry.nearest, 3), (geometry.nearest, 20), (geometry.top_k, 50)):
        one, other = both_ways(monkeypatch, partial(find, queries, items, n))
        for mine, theirs in zip(one, other, strict=True):
            assert mine.tobytes() == theirs.tobytes()
