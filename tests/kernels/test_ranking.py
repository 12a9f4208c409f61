"""Kernels that make, cut and judge lists, against the CPU engine."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from gpu_coldstart.engine import settle
from gpu_coldstart.engine.base import Csr, HostArray
from gpu_coldstart.engine.cpu.engine import CpuEngine
from tests.kernels.launching import launch
from tests.worlds import sparse

ENGINE = CpuEngine()
EXAMPLES = settings(max_examples=12)


def allocated(
    segments: HostArray, weights: HostArray, shares: Csr, k: int, overshoot: int
) -> tuple[HostArray, HostArray]:
    """What the kernel makes of the arguments of ``Engine.soft_allocate``."""
    n, s = segments.shape
    n_tracks = shares.shape[1]
    depth = min(k + overshoot, n_tracks)
    favourites, share = ENGINE.row_top(shares, depth)
    tracks, scores = np.full((n, k), -1, np.int32), np.full((n, k), np.nan, np.float32)
    launch(
        "soft_allocate",
        written=("tracks", "scores"),
        shared=8 * k,
        segments=segments,
        weights=weights,
        slots=settle.largest_remainder(np, weights, k + overshoot).astype(np.int32),
        ascending=np.argsort(segments, axis=1, kind="stable").astype(np.int32),
        favourites=favourites,
        held=(share > 0).sum(axis=1).astype(np.int32),
        indptr=shares.indptr,
        indices=shares.indices,
        shares=shares.data,
        scratch=np.full((3, n_tracks), np.nan, np.float32),
        tracks=tracks,
        scores=scores,
        n=n,
        s=s,
        depth=depth,
        n_tracks=n_tracks,
        k=k,
    )
    return tracks, scores


@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 5),
    s=st.integers(1, 4),
    n_tracks=st.sampled_from([8, 60]),
    share=st.sampled_from([0.05, 0.4, 1.0]),
    k=st.sampled_from([1, 5, 8]),
    overshoot=st.sampled_from([0, 3]),
    levels=st.sampled_from([2, 50]),
)
@EXAMPLES
def test_soft_allocate(
    seed: int, n: int, s: int, n_tracks: int, share: float, k: int, overshoot: int, levels: int
) -> None:
    random = np.random.default_rng(seed)
    table = random.integers(1, levels + 1, (6, n_tracks)) * (random.random((6, n_tracks)) < share)
    shares = sparse(ENGINE, table / 50)
    segments = np.array([random.permutation(6)[:s] for _ in range(n)], np.int32)
    raw = -np.sort(-random.integers(1, 5, (n, s)), axis=1)
    weights = (raw / raw.sum(axis=1, keepdims=True)).astype(np.float32)
    found = allocated(segments, weights, shares, k, overshoot)
    wanted = ENGINE.soft_allocate(segments, weights, shares, k, overshoot)
    assert_array_equal(found[0], wanted[0])
    assert_array_equal(found[1], wanted[1])


@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 40),
    m=st.sampled_from([1, 33, 50]),
    size=st.sampled_from([1, 60]),
)
@EXAMPLES
def test_rank_metrics(seed: int, n: int, m: int, size: int) -> None:
    random = np.random.default_rng(seed)
    tracks = np.array([random.permutation(70)[:m] for _ in range(n)], np.int32)
    table = np.zeros((n, 70))
    for row in table:
        row[random.permutation(70)[: int(random.integers(1, size + 1))]] = 1
    truth = sparse(ENGINE, table)
    ks = np.array([m, 1, (m + 1) // 2], np.int32)
    discounts = 1 / np.log2(np.arange(2, m + 2))
    found: dict[str, Any] = {
        name: np.full((3, n), np.nan) for name in ("precision", "recall", "ndcg")
    }
    launch(
        "rank_metrics",
        written=tuple(found),
        tracks=tracks,
        indptr=truth.indptr,
        indices=truth.indices,
        ks=ks,
        discounts=discounts,
        ideals=np.cumsum(discounts),
        n=n,
        m=m,
        n_ks=3,
        **found,
    )
    wanted = ENGINE.rank_metrics(tracks, truth, ks.tolist())
    for name, values in found.items():
        assert_allclose(values, getattr(wanted, name), rtol=1e-12)


def test_rank_metrics_never_exceed_one() -> None:
    """An ideal that was summed in another order may be an ulp less than a perfect list's gain."""
    m = 40
    discounts = 1 / np.log2(np.arange(2, m + 2))
    ndcg = np.full((1, 1), np.nan)
    launch(
        "rank_metrics",
        written=("precision", "recall", "ndcg"),
        tracks=np.arange(m, dtype=np.int32)[None],
        indptr=np.array([0, m], np.int64),
        indices=np.arange(m, dtype=np.int32),
        ks=np.array([m], np.int32),
        discounts=discounts,
        ideals=np.nextafter(np.cumsum(discounts), 0),
        n=1,
        m=m,
        n_ks=1,
        precision=np.full((1, 1), np.nan),
        recall=np.full((1, 1), np.nan),
        ndcg=ndcg,
    )
    assert ndcg.item() == 1


@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 9),
    m=st.sampled_from([1, 40, 70]),
    share=st.sampled_from([0.0, 0.5, 1.0]),
)
@EXAMPLES
def test_drop_seen(seed: int, n: int, m: int, share: float) -> None:
    random = np.random.default_rng(seed)
    tracks = np.array([random.permutation(80)[:m] for _ in range(n)], np.int32)
    scores = -np.sort(-random.random((n, m)).astype(np.float32), axis=1)
    seen = sparse(ENGINE, random.random((n, 80)) < share)
    k = max(1, m // 2)
    kept, kept_scores = np.full((n, k), -1, np.int32), np.full((n, k), np.nan, np.float32)
    launch(
        "drop_seen",
        written=("out_tracks", "out_scores"),
        tracks=tracks,
        scores=scores,
        indptr=seen.indptr,
        indices=seen.indices,
        out_tracks=kept,
        out_scores=kept_scores,
        n=n,
        m=m,
        k=k,
    )
    wanted = ENGINE.drop_seen(tracks, scores, seen, k)
    assert_array_equal(kept, wanted[0])
    assert_array_equal(kept_scores, wanted[1])


@given(
    seed=st.integers(0, 999),
    n=st.integers(1, 9),
    width=st.sampled_from([1, 40]),
    d=st.sampled_from([1, 3, 33]),
    distances=st.booleans(),
    everything=st.booleans(),
)
@EXAMPLES
def test_pair_keys(
    seed: int, n: int, width: int, d: int, *, distances: bool, everything: bool
) -> None:
    """The same bits as dimension by dimension in NumPy."""
    random = np.random.default_rng(seed)
    scale = 10.0 ** random.integers(-9, 9, size=(1, d))
    queries, items = ((random.normal(size=(m, d)) * scale).astype(np.float32) for m in (n, 50))
    some = None if everything else random.integers(0, 50, size=(n, width)).astype(np.int32)
    chosen = np.arange(50, dtype=np.int32)[None] if some is None else some
    keys = np.full((n, chosen.shape[1]), np.nan)
    launch(
        "pair_keys",
        written=("keys",),
        queries=queries,
        items=items,
        chosen=chosen,
        keys=keys,
        n=n,
        rows=len(chosen),
        width=chosen.shape[1],
        d=d,
        distances=int(distances),
    )
    wanted = settle.pair_keys(np, queries, items, some, distances=distances)
    assert_array_equal(keys, wanted)
