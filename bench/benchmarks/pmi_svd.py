"""PMI of co-occurrence counts and its truncated sparse SVD, d = 128 (3.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp

from bench.cases import LOWER, SAME, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats, host
from gpu_coldstart.engine.base import PmiOptions, SvdOptions

_Factors = tuple[Any, Any, Any]


def _prepare(setting: Setting) -> Case:
    engine, options = setting.engine, setting.data.config.tt_svd
    counts = setting.data.counts
    on_host = host(engine, counts)
    rank = options.dimension

    def fetched(result: Any) -> tuple[sp.csr_array, _Factors]:
        pmi, found = result
        u, s, vt = map(engine.to_host, (found.u, found.s, found.vt))
        return host(engine, pmi), (u, s, vt)

    def rival(factorise: Callable[[sp.csr_array], _Factors]) -> Work:
        def work() -> tuple[sp.csr_array, _Factors]:
            pmi = _pmi(on_host, options.min_count)
            return pmi, factorise(pmi)

        return work

    def randomised(**how: Any) -> Work:
        from sklearn.utils.extmath import randomized_svd

        return rival(lambda pmi: randomized_svd(pmi, rank, random_state=setting.seed, **how))

    def arpack() -> Work:
        from scipy.sparse.linalg import svds

        return rival(lambda pmi: svds(pmi, k=rank, rng=setting.seed))

    as_ours = {
        "n_oversamples": options.oversamples,
        "n_iter": options.power_iterations,
        "power_iteration_normalizer": "LU",
    }
    entries = counts.nnz
    kept = int((on_host.data >= options.min_count).sum())
    # The range finder multiplies once, and twice in each power iteration and for the projection.
    products = 2 + 2 * options.power_iterations
    width = rank + options.oversamples
    return Case(
        contenders=[
            Contender("gpu_coldstart", lambda: _ours(setting), fetched, ours=True),
            Contender("scikit-learn randomised, our settings", lambda: randomised(**as_ours)),
            Contender("scikit-learn randomised, its defaults", randomised),
            Contender("SciPy ARPACK", arpack),
            *_on_gpu(on_host, options.min_count, rank),
        ],
        quality=_quality,
        rules=(Rule("PMI entries", SAME, 0.0), Rule("residual", LOWER, 0.002)),
        sizes={"tracks": counts.shape[0], "pairs counted": entries, "pairs kept": kept},
        items="pairs counted",
        bytes=8.0 * entries + 8.0 * kept * products,
        flops=2.0 * kept * width * products + 4.0 * counts.shape[0] * width**2,
    )


def _ours(setting: Setting) -> Work:
    """The engine's primitives, as the TT-SVD space calls them."""
    engine, counts, options = setting.engine, setting.data.counts, setting.data.config.tt_svd

    def work() -> Any:
        pmi = engine.pmi(
            counts,
            PmiOptions(
                shift=options.shift, smoothing=options.smoothing, min_count=options.min_count
            ),
        )
        found = engine.svd(
            pmi,
            SvdOptions(
                rank=options.dimension,
                oversamples=options.oversamples,
                power_iterations=options.power_iterations,
                seed=setting.seed,
            ),
        )
        return pmi, found

    return work


def _pmi(counts: sp.csr_array, least: float) -> sp.csr_array:
    """Positive PMI, as one writes it with SciPy: no shift, no smoothing, rare pairs left out."""
    pairs = counts.tocoo()
    kept = pairs.data >= least
    rows, columns, seen = pairs.row[kept], pairs.col[kept], pairs.data[kept].astype(np.float64)
    totals = np.bincount(rows, seen, minlength=counts.shape[0])
    values = np.log(seen * totals.sum() / (totals[rows] * totals[columns])).astype(np.float32)
    positive = values > 0
    places = (rows[positive], columns[positive])
    return sp.coo_array((values[positive], places), shape=counts.shape).tocsr()


def _on_gpu(on_host: sp.csr_array, least: float, rank: int) -> list[Contender]:
    """CuPy's eigensolver and RAFT's randomised SVD; both from the same PMI on the device."""

    def start(solve: Callable[[Any], Any]) -> Work:
        import cupy as cp
        from cupyx.scipy.sparse import coo_matrix

        pairs = on_host.tocoo()
        rows, columns, seen = map(cp.asarray, (pairs.row, pairs.col, pairs.data))

        def work() -> Any:
            kept = seen >= least
            r, c, n = rows[kept], columns[kept], seen[kept].astype(cp.float64)
            totals = cp.bincount(r, n, minlength=on_host.shape[0])
            values = cp.log(n * totals.sum() / (totals[r] * totals[c])).astype(cp.float32)
            good = values > 0
            pmi = coo_matrix((values[good], (r[good], c[good])), shape=on_host.shape).tocsr()
            return pmi, solve(pmi)

        return work

    def cupy() -> Work:
        from cupyx.scipy.sparse.linalg import svds

        return start(lambda pmi: svds(pmi, k=rank))

    def raft() -> Work:
        from pylibraft.sparse.linalg import svds

        return start(lambda pmi: svds(pmi, k=rank))

    def fetched(result: Any) -> tuple[sp.csr_array, _Factors]:
        import cupy as cp

        pmi, found = result
        u, s, vt = (cp.asarray(part).get() for part in found)
        return pmi.get(), (u, s, vt)

    return [
        Contender("CuPy svds", cupy, fetched, needs=("cupyx",), device="cuda"),
        Contender("RAFT svds", raft, fetched, needs=("pylibraft", "cupyx"), device="cuda"),
    ]


def _quality(
    result: tuple[sp.csr_array, _Factors], ours: tuple[sp.csr_array, _Factors]
) -> dict[str, float]:
    pmi, (u, s, vt) = result
    return {"PMI entries": float(pmi.nnz), "residual": _residual(ours[0], u, s, vt)}


def _residual(matrix: sp.csr_array, u: Floats, s: Floats, vt: Floats) -> float:
    """Frobenius norm of what the factors leave of the matrix, as a share of the matrix's.

    Expanded, so that nothing is made dense; right whether or not the factors are orthogonal.
    """
    u, s, vt = (np.asarray(part, np.float64) for part in (u, s, vt))
    left = u * s
    whole = float(np.square(matrix.data, dtype=np.float64).sum())
    crossed = float((left * (matrix.astype(np.float64) @ vt.T)).sum())
    own = float(((left.T @ left) * (vt @ vt.T)).sum())
    return float(np.sqrt(max(0.0, whole - 2 * crossed + own) / whole))


BENCHMARKS = (
    Benchmark(
        "pmi-svd",
        "co-occurrence counts of tracks in playlists to PMI and its leading 128 singular triplets",
        _prepare,
        slow=True,
        most_rounds=5,
    ),
)
"""What this file measures."""
