"""Kernels on sparse matrices against the CPU engine: pooling, sums, PMI, popularity, top lists."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine.base import Csr, HostArray, PmiOptions
from gpu_coldstart.engine.cpu.engine import CpuEngine
from tests.kernels.launching import launch
from tests.worlds import sparse

ENGINE = CpuEngine()
EXAMPLES = settings(max_examples=12)


def matrix_of(random: np.random.Generator, n: int, m: int, share: float) -> Csr:
    """Positive entries; the first row is full and the last is empty, where there are several."""
    table = random.integers(1, 6, (n, m)) * (random.random((n, m)) < share)
    if n > 1:
        table[0] = random.integers(1, 6, m)
        table[-1] = 0
    return sparse(ENGINE, table)


def with_range(matrix: Csr, **names: str) -> dict[str, Any]:
    """Kernel arguments of a matrix; ``names`` says what the values are called."""
    return {
        "indptr": matrix.indptr,
        "indices": matrix.indices,
        names.get("data", "data"): matrix.data,
    }


@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 6),
    m=st.sampled_from([1, 9, 70]),
    d=st.sampled_from([1, 31, 33, 128, 130, 158, 257]),
    per_lane=st.sampled_from([4, 5, 8]),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    group=st.sampled_from([1, 2]),
    mean=st.booleans(),
)
@EXAMPLES
def test_pool(
    seed: int, n: int, m: int, d: int, per_lane: int, share: float, group: int, mean: bool
) -> None:
    random = np.random.default_rng(seed)
    weights = matrix_of(random, n, m, share)
    embeddings = random.normal(size=(m, d)).astype(np.float32)
    rows = random.integers(0, n, 2 * group)
    wide = np.full((2, group * d + 5), 7, np.float32)
    out = wide[:, 3:-2]
    launch(
        "pool",
        macros={"PER_LANE": per_lane},
        written=("out",),
        rows=rows,
        **with_range(weights, data="weights"),
        embeddings=embeddings,
        out=out,
        n=len(rows),
        d=d,
        group=group,
        stride=wide.shape[1],
        mean=mean,
    )
    wanted = np.zeros_like(out)
    ENGINE.pool(weights, embeddings, rows=rows, out=wanted)
    if not mean:
        totals = np.array([weights.data[a:b].sum() for a, b in pairwise(weights.indptr)])
        wanted *= np.repeat(totals[rows].reshape(2, group), d, axis=1)
    assert_allclose(out, wanted, rtol=1e-4, atol=1e-4)
    assert (wide[:, :3] == 7).all()
    assert (wide[:, -2:] == 7).all()
    empty = np.diff(weights.indptr)[rows] == 0
    assert not out.reshape(len(rows), d)[empty].any()


def test_pool_of_a_huge_row() -> None:
    random = np.random.default_rng(0)
    weights = sparse(ENGINE, random.integers(1, 4, (1, 5000)))
    embeddings = random.normal(loc=1, size=(5000, 2)).astype(np.float32)
    out = np.empty((1, 2), np.float32)
    rows = np.zeros(1, np.int64)
    launch(
        "pool",
        written=("out",),
        rows=rows,
        **with_range(weights, data="weights"),
        embeddings=embeddings,
        out=out,
        n=1,
        d=2,
        group=1,
        stride=2,
        mean=1,
    )
    wanted = np.average(embeddings.astype(np.float64), axis=0, weights=weights.data)
    assert_allclose(out[0], wanted, rtol=1e-5)


@given(seed=st.integers(0, 999), n=st.integers(1, 40), most=st.sampled_from([1, 3, 50]))
@EXAMPLES
def test_segment_sum(seed: int, n: int, most: int) -> None:
    random = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(random.integers(0, most + 1, n))]).astype(np.int64)
    order = random.permutation(int(starts[-1]))
    values = random.random(len(order), np.float32)
    sums = np.empty(n, np.float32)
    launch(
        "segment_sum", written=("sums",), starts=starts, order=order, values=values, sums=sums, n=n
    )
    wanted = [values[order[a:b]].astype(np.float64).sum() for a, b in pairwise(starts)]
    assert_allclose(sums, wanted, rtol=1e-6)


@given(
    seed=st.integers(0, 999),
    n=st.sampled_from([1, 2, 40]),
    share=st.sampled_from([0.0, 0.2, 0.7]),
    shift=st.sampled_from([1.0, 1.5]),
    smoothing=st.sampled_from([1.0, 0.75]),
    min_count=st.sampled_from([1.0, 4.0]),
)
@EXAMPLES
def test_pmi(
    seed: int, n: int, share: float, shift: float, smoothing: float, min_count: float
) -> None:
    random = np.random.default_rng(seed)
    upper = np.triu(random.integers(1, 9, (n, n)) * (random.random((n, n)) < share), 1)
    counts = sparse(ENGINE, upper + upper.T)
    totals = np.full(n, np.nan)
    common: dict[str, Any] = {
        "indptr": counts.indptr,
        "counts": counts.data,
        "n": n,
        "min_count": min_count,
    }
    launch("pmi", "pmi_totals", written=("totals",), totals=totals, **common)
    kept_data = np.where(counts.data >= min_count, counts.data, 0)
    rows = np.repeat(np.arange(n), np.diff(counts.indptr))
    assert_array_equal(totals, np.bincount(rows, kept_data, minlength=n))
    contexts = totals**smoothing
    with np.errstate(divide="ignore"):
        common |= {
            "indices": counts.indices,
            "row_logs": np.log(totals),
            "column_logs": np.log(contexts),
            "offset": np.log(contexts.sum() / shift),
        }
    kept = np.full(n, -1, np.int64)
    launch("pmi", "pmi_count", written=("kept",), kept=kept, **common)
    wanted = ENGINE.pmi(counts, PmiOptions(shift=shift, smoothing=smoothing, min_count=min_count))
    indptr = np.concatenate([[0], np.cumsum(kept)])
    assert_array_equal(indptr, wanted.indptr)
    indices, values = np.empty(wanted.nnz, np.int32), np.empty(wanted.nnz, np.float32)
    launch(
        "pmi",
        "pmi_write",
        written=("out_indices", "out_values"),
        out_indptr=indptr,
        out_indices=indices,
        out_values=values,
        **common,
    )
    assert_array_equal(indices, wanted.indices)
    assert_allclose(values, wanted.data, rtol=1e-6, atol=1e-7)


@given(
    seed=st.integers(0, 999),
    n=st.sampled_from([1, 5, 60]),
    m=st.sampled_from([1, 40]),
    k=st.integers(1, 5),
    first=st.integers(0, 2),
)
@EXAMPLES
def test_segment_counts(seed: int, n: int, m: int, k: int, first: int) -> None:
    random = np.random.default_rng(seed)
    plays = matrix_of(random, n, m, 0.4)
    labels = random.integers(0, k, n).astype(np.int32)
    groups = max(1, k - first)
    table = np.zeros((groups, m), np.int32)
    launch(
        "segment_counts",
        written=("table",),
        labels=labels,
        indptr=plays.indptr,
        indices=plays.indices,
        table=table,
        n=n,
        first_group=first,
        groups=groups,
        columns=m,
    )
    wanted = np.zeros((k + groups, m), np.int32)
    for row, label in enumerate(labels):
        wanted[label, plays.indices[plays.indptr[row] : plays.indptr[row + 1]]] += 1
    assert_array_equal(table, wanted[first : first + groups])


@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 4),
    m=st.sampled_from([1, 33, 200]),
    share=st.sampled_from([0.0, 0.1, 1.0]),
    depth=st.sampled_from([1, 7, 40]),
    levels=st.sampled_from([2, 1000]),
)
@EXAMPLES
def test_row_top(seed: int, n: int, m: int, share: float, depth: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    table = random.integers(-1, levels, (n, m)) * (random.random((n, m)) < share)
    matrix = sparse(ENGINE, table)
    depth = min(depth, m)
    columns, values = np.full((n, depth), -9, np.int32), np.full((n, depth), -9, np.float32)
    launch(
        "row_top",
        written=("columns", "values"),
        **with_range(matrix),
        columns=columns,
        values=values,
        n=n,
        depth=depth,
    )
    for found, wanted in zip((columns, values), ENGINE.row_top(matrix, depth), strict=True):
        assert_array_equal(found, wanted)


# -- alternating least squares ---------------------------------------------------------------------


class Normal:
    """The normal equations of each row, written out."""

    def __init__(self, matrix: Csr, factors: HostArray, l2: float):
        c = np.zeros(matrix.shape)
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        c[rows, matrix.indices] = matrix.data
        extra = np.where(c > 0, c - 1, 0)
        y = factors.astype(np.float64)
        self.left = y.T @ y + l2 * np.eye(y.shape[1]) + np.einsum("ri,ia,ib->rab", extra, y, y)
        self.right = c @ y

    def residual(self, x: HostArray) -> HostArray:
        found: HostArray = self.right - np.einsum("rab,rb->ra", self.left, x.astype(np.float64))
        return found


@pytest.mark.parametrize("d", [1, 5, 32, 33, 100])
@pytest.mark.parametrize("n", [1, 7])
def test_als(d: int, n: int) -> None:
    random = np.random.default_rng(d)
    matrix = matrix_of(random, n, 12, 0.4)
    matrix = matrix.with_data(1 + matrix.data)
    factors = random.normal(size=(12, d)).astype(np.float32) / np.sqrt(np.float32(d))
    x = random.normal(size=(n, d)).astype(np.float32)
    l2 = np.float32(0.5)
    gram = factors.T @ factors
    left = gram + l2 * np.eye(d, dtype=np.float32)
    empty = np.diff(matrix.indptr) == 0
    normal = Normal(matrix, factors, float(l2))
    start = np.where(empty[:, None], 0, x)
    state: dict[str, Any] = {
        "x": x,
        "residual": np.full((n, d), np.nan, np.float32),
        "direction": np.full((n, d), np.nan, np.float32),
        "squares": np.full(n, np.nan, np.float32),
    }
    common = {
        **with_range(matrix, data="confidence"),
        "factors": factors,
        "n": n,
        "d": d,
        "macros": {"PER_LANE": -(-d // 32)},
        "written": tuple(state),
    }
    launch("als", "als_begin", product=x @ left, **common, **state)
    assert_array_equal(x, start)
    wanted = np.where(empty[:, None], 0, normal.residual(start))
    assert_allclose(state["residual"], wanted, rtol=1e-4, atol=1e-4)
    assert_array_equal(state["direction"], state["residual"])
    assert_allclose(state["squares"], np.square(wanted).sum(axis=1), rtol=1e-3, atol=1e-6)
    for _ in range(3):
        before, error = x.copy(), np.square(normal.residual(x)).sum(axis=1)
        p = state["direction"].astype(np.float64)
        along = np.einsum("ra,rab,rb->r", p, normal.left, p)
        length = np.divide(error, along, out=np.zeros(n), where=along > 1e-12)
        launch(
            "als", "als_step", product=state["direction"] @ left, arrived=1e-20, **common, **state
        )
        assert_allclose(x, before + length[:, None] * p, rtol=2e-3, atol=1e-4)
        assert_allclose(state["residual"], normal.residual(x), atol=2e-3)
    assert not x[empty].any()


def test_als_leaves_rows_that_have_arrived() -> None:
    matrix = sparse(ENGINE, np.ones((2, 3)) * 2)
    factors = np.ones((3, 4), np.float32)
    state: dict[str, Any] = {
        name: np.ones((2, 4), np.float32) for name in ("x", "residual", "direction")
    }
    state["squares"] = np.array([4, 1e-9], np.float32)
    launch(
        "als",
        "als_step",
        **with_range(matrix, data="confidence"),
        factors=factors,
        product=np.ones((2, 4), np.float32),
        n=2,
        d=4,
        arrived=1e-8,
        macros={"PER_LANE": 1},
        written=tuple(state),
        **state,
    )
    assert (state["x"][0] != 1).all()
    assert all((state[name][1] == 1).all() for name in ("x", "residual", "direction"))
    assert state["squares"][1] == np.float32(1e-9)


@pytest.mark.parametrize("d", [1, 40])
def test_als_loss(d: int) -> None:
    random = np.random.default_rng(3)
    matrix = matrix_of(random, 5, 30, 0.5)
    matrix = matrix.with_data(1 + matrix.data)
    factors = random.normal(size=(30, d)).astype(np.float32)
    x = random.normal(size=(5, d)).astype(np.float32)
    loss = np.full(5, np.nan)
    launch(
        "als",
        "als_loss",
        **with_range(matrix, data="confidence"),
        factors=factors,
        x=x,
        product=x @ (factors.T @ factors),
        loss=loss,
        n=5,
        d=d,
        macros={"PER_LANE": -(-d // 32)},
        written=("loss",),
    )
    c = np.ones((5, 30))
    rows = np.repeat(np.arange(5), np.diff(matrix.indptr))
    c[rows, matrix.indices] = matrix.data
    wanted = c * np.square((c > 1) - x.astype(np.float64) @ factors.T)
    assert_allclose(loss, wanted.sum(axis=1), rtol=1e-5)
