"""On a real GPU: the CUDA engine against the CPU engine on the same data, and against itself.

``make test ARGS="-m gpu"`` runs this where there is a card. GPU_TEST_PRESET=tiny makes the tables
smaller.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.config.resolve import resolve
from gpu_coldstart.data.indexing import index
from gpu_coldstart.data.logs import Logs
from gpu_coldstart.data.tables import load
from gpu_coldstart.data.truth import GroundTruth
from gpu_coldstart.datasets.synthetic.generate import generate
from gpu_coldstart.datasets.synthetic.world import PRESETS
from gpu_coldstart.engine import Engine, choose
from gpu_coldstart.engine.base import (
    AlsOptions,
    Array,
    Csr,
    HostArray,
    KmeansOptions,
    PmiOptions,
    SvdOptions,
)
from gpu_coldstart.engine.cpu.sparse import to_scipy
from gpu_coldstart.segments import shares_of
from gpu_coldstart.spaces import tt_svd, ut_als

pytestmark = pytest.mark.gpu

PRESET = os.environ.get("GPU_TEST_PRESET", "small")
CONFIG = resolve(preset=PRESET)
SEGMENTS = 40
TOP = 50


@dataclass(frozen=True)
class Side:
    """An engine and the logs of the tables on it."""

    engine: Engine
    logs: Logs
    truth: GroundTruth

    def array(self, host: HostArray) -> Array:
        return self.engine.asarray(host)

    def vectors(self, n: int, d: int, seed: int) -> Array:
        """The same points [n, d] on either side."""
        return self.array(np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))

    def numbers(self, n: int, below: int, seed: int) -> Array:
        return self.array(np.random.default_rng(seed).integers(0, below, n).astype(np.int32))

    def shares(self) -> Csr:
        labels = self.numbers(self.logs.n_warm, SEGMENTS, 1)
        return shares_of(self.engine, self.logs.plays, labels, SEGMENTS, of="members")

    def pmi(self) -> Csr:
        sets, _ = tt_svd.collections(self.engine, self.logs, CONFIG.tt_svd)
        counts = tt_svd.cooccurrence(self.engine, sets)
        return self.engine.pmi(counts, PmiOptions(smoothing=0.75, min_count=2))


@pytest.fixture(scope="module")
def sides(card: Engine) -> tuple[Side, Side]:
    """The CPU's and the card's."""
    tables = generate(PRESETS[PRESET], 0)
    host, device = (
        Side(engine, *index(engine, load(engine, tables), CONFIG.split))
        for engine in (choose("cpu")[0], card)
    )
    return host, device


# -- primitives --------------------------------------------------------------------------------


def csr(side: Side) -> list[Any]:
    n = 200_000
    rows, columns = side.numbers(n, 3000, 2), side.numbers(n, 500, 3)
    counts = side.numbers(n, 9, 4).astype(np.float32)
    return [side.engine.csr(rows, columns, counts, (3000, 500))]


def csr_of_real_numbers(side: Side) -> list[Any]:
    n = 200_000
    rows, columns = side.numbers(n, 3000, 2), side.numbers(n, 500, 3)
    return [side.engine.csr(rows, columns, side.vectors(n, 1, 5)[:, 0], (3000, 500))]


def transpose(side: Side) -> list[Any]:
    return [side.engine.transpose(side.logs.history)]


def take_rows(side: Side) -> list[Any]:
    rows = side.numbers(2 * side.logs.n_warm, side.logs.n_warm, 6)
    return [side.engine.take_rows(side.logs.history, rows)]


def product(side: Side) -> list[Any]:
    sets, _ = tt_svd.collections(side.engine, side.logs, CONFIG.tt_svd)
    return [tt_svd.cooccurrence(side.engine, sets)]


def product_of_real_numbers(side: Side) -> list[Any]:
    return [ut_als.affinity(side.engine, side.logs, CONFIG.ut_als)]


def segment_counts(side: Side) -> list[Any]:
    labels = side.numbers(side.logs.n_warm, SEGMENTS, 1)
    return [side.engine.segment_counts(labels, side.logs.plays, SEGMENTS)]


def row_top(side: Side) -> list[Any]:
    return list(side.engine.row_top(side.shares(), TOP))


def pmi(side: Side) -> list[Any]:
    return [side.pmi()]


def pool(side: Side) -> list[Any]:
    return [
        side.engine.pool(side.logs.registration, side.vectors(side.logs.members.shape[0], 150, 7))
    ]


def soft_allocate(side: Side) -> list[Any]:
    random = np.random.default_rng(8)
    segments = np.argsort(random.random((500, SEGMENTS)), axis=1)[:, :5].astype(np.int32)
    weights = -np.sort(-random.random((500, 5)))
    weights = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    arrays = (side.array(segments), side.array(weights))
    return list(side.engine.soft_allocate(*arrays, side.shares(), TOP, 4))


def lists_of_everyone(side: Side) -> tuple[Array, Csr]:
    """A list for each cold user, and what they went on to stream."""
    tracks, _ = side.engine.row_top(side.shares(), TOP)
    truth = side.truth.tracks
    return tracks[side.numbers(truth.shape[0], SEGMENTS, 9)], truth


def drop_seen(side: Side) -> list[Any]:
    tracks, truth = lists_of_everyone(side)
    few = side.engine.row_top(truth, 5)[0]
    users = np.repeat(np.arange(len(few), dtype=np.int32), 5)
    ones = side.array(np.ones(len(users), np.float32))
    seen = side.engine.csr(side.array(users), few.ravel(), ones, truth.shape)
    return list(side.engine.drop_seen(tracks, tracks.astype(np.float32), seen, TOP - 5))


def rank_metrics(side: Side) -> list[Any]:
    found = side.engine.rank_metrics(*lists_of_everyone(side), (5, 10, TOP))
    return [*found.precision, *found.recall, *found.ndcg]


def als(side: Side) -> list[Any]:
    losses: list[float] = []
    found = side.engine.als(
        ut_als.affinity(side.engine, side.logs, CONFIG.ut_als),
        AlsOptions(
            factors=40,
            iterations=3,
            regularization=10.0,
            confidence=10.0,
            cg_steps=3,
            seed=0,
        ),
        lambda iteration, loss: losses.append(loss),
    )
    return [*found, side.array(np.array(losses))]


Primitive = Callable[[Side], list[Any]]
PARITY: dict[Primitive, float] = {
    csr: 0,
    csr_of_real_numbers: 1e-5,
    transpose: 0,
    take_rows: 0,
    product: 0,
    product_of_real_numbers: 1e-5,
    segment_counts: 0,
    row_top: 0,
    pmi: 1e-5,
    pool: 1e-4,
    soft_allocate: 0,
    drop_seen: 0,
    rank_metrics: 1e-12,
}
"""How far a number may be from the CPU engine's, absolutely and relatively."""

OWN_KERNELS = [csr_of_real_numbers, segment_counts, row_top, pmi, pool, soft_allocate]
OWN_KERNELS += [drop_seen, rank_metrics, als]


def on_host(side: Side, found: Any) -> Any:
    """An array as NumPy's, a matrix as SciPy's."""
    host = side.engine.to_host
    if not isinstance(found, Csr):
        return host(found)
    return to_scipy(Csr(host(found.indptr), host(found.indices), host(found.data), found.shape))


def fetched(side: Side, primitive: Primitive) -> list[Any]:
    """What a primitive finds, on the host."""
    return [on_host(side, found) for found in primitive(side)]


@pytest.mark.parametrize("primitive", PARITY, ids=lambda primitive: primitive.__name__)
def test_primitives_agree(sides: tuple[Side, Side], primitive: Primitive) -> None:
    within = PARITY[primitive]
    for one, other in zip(*(fetched(side, primitive) for side in sides), strict=True):
        assert one.shape == other.shape
        if not isinstance(one, sp.csr_array):
            assert_allclose(other, one, rtol=within, atol=within)
        elif within:  # a sum that is null here and nearly so there may be left out
            assert np.abs((one - other).data).max(initial=0) <= within * np.abs(one.data).max()
        else:
            for part in ("indptr", "indices", "data"):
                assert_array_equal(getattr(other, part), getattr(one, part))


def same(one: list[Any], other: list[Any]) -> bool:
    flat = [[a.data if isinstance(a, sp.csr_array) else a for a in found] for found in (one, other)]
    return all(np.array_equal(a, b) for a, b in zip(*flat, strict=True))


@pytest.mark.parametrize("primitive", OWN_KERNELS, ids=lambda primitive: primitive.__name__)
def test_kernels_repeat_themselves_in_any_shape(
    sides: tuple[Side, Side], monkeypatch: pytest.MonkeyPatch, primitive: Primitive
) -> None:
    """Blocks of other sizes, and a grid too small for all rows at once: the same bits."""
    wanted = fetched(sides[1], primitive)
    assert same(fetched(sides[1], primitive), wanted)
    engine = [m for name, m in sys.modules.items() if name.startswith("gpu_coldstart.engine.cuda")]
    for block, grid in ((64, 1 << 20), (512, 1 << 20), (128, 5)):
        for module in engine:
            for name, value in (("BLOCK", block), ("_MOST_BLOCKS", grid)):
                if hasattr(module, name):
                    monkeypatch.setattr(module, name, value)
        assert same(fetched(sides[1], primitive), wanted), (block, grid)


def test_svd_leaves_as_little_as_the_cpu_engines(sides: tuple[Side, Side]) -> None:
    left = []
    for side in sides:
        matrix = side.pmi()
        found = side.engine.svd(
            matrix, SvdOptions(rank=32, oversamples=20, power_iterations=2, seed=0)
        )
        u, s, vt = (side.engine.to_host(part) for part in (found.u, found.s, found.vt))
        assert_allclose(u.T @ u, np.eye(32), atol=1e-3)
        left.append(float(np.linalg.norm(on_host(side, matrix).toarray() - (u * s) @ vt)))
    assert_allclose(left[1], left[0], rtol=0.01)


def test_als_comes_as_low_as_the_cpu_engine(sides: tuple[Side, Side]) -> None:
    losses = [fetched(side, als)[-1] for side in sides]
    assert all(after < before for before, after in pairwise(losses[1]))
    assert_allclose(losses[1][-1], losses[0][-1], rtol=0.01)


def test_kmeans_comes_as_low_as_the_cpu_engine(sides: tuple[Side, Side]) -> None:
    inertia = []
    for side in sides:
        points = side.engine.pool(side.logs.history, side.vectors(side.logs.n_tracks, 24, 10))
        found = side.engine.kmeans(points, KmeansOptions(k=SEGMENTS, iterations=20, seed=0))
        labels = side.engine.to_host(found.labels)
        assert set(labels.tolist()) == set(range(SEGMENTS))
        inertia.append(found.inertia)
    assert inertia[1] < 1.03 * inertia[0]
    assert inertia[0] < 1.1 * inertia[1]


def test_neighbours_agree(sides: tuple[Side, Side]) -> None:
    found = []
    for side in sides:
        queries, items = (side.vectors(n, 64, n) for n in (3000, 2000))
        each = (*side.engine.nearest(queries, items, 5), *side.engine.top_k(queries, items, TOP))
        found.append([side.engine.to_host(part) for part in each])
    for place in (1, 3):
        assert_allclose(found[1][place], found[0][place], rtol=1e-4, atol=1e-4)
    for place in (0, 2):  # but for equals in the last bit
        assert np.mean(found[1][place] == found[0][place]) > 0.999


def leaves(side: Side, value: Any, name: str = "logs") -> Iterator[tuple[str, Any]]:
    """The arrays and other values of a tree of dataclasses, on the host, each with its name."""
    if isinstance(value, Csr):
        yield name, on_host(side, value)
    elif is_dataclass(value):
        for part in fields(value):
            yield from leaves(side, getattr(value, part.name), f"{name}.{part.name}")
    else:
        yield name, side.engine.to_host(value) if hasattr(value, "dtype") else value


def test_logs_are_the_same(sides: tuple[Side, Side]) -> None:
    for (name, one), (_, other) in zip(*(leaves(s, s.logs) for s in sides), strict=True):
        if isinstance(one, sp.csr_array):
            assert (one != other).nnz == 0, name
        elif hasattr(one, "dtype"):
            assert_array_equal(one, other, err_msg=name)
        else:
            assert one == other, name
