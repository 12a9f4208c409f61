"""Precision, recall and NDCG at 50 of given lists (4.1.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from bench.cases import SAME, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats
from gpu_coldstart.engine.base import Csr

_USERS, _TRACKS, _TOP = 10_000, 50_000, 50
_TRUTH = 150
_DENSE_USERS = 1_000
"""scikit-learn wants dense users x tracks scores, in double precision, and sorts all of them."""


def _prepare(setting: Setting) -> Case:
    engine = setting.engine
    n, m = (max(200, round(setting.scale * size)) for size in (_USERS, _TRACKS))
    tracks, truth = _made_up(n, m, setting.seed)

    def ours() -> Work:
        listed = engine.asarray(tracks)
        relevant = Csr(
            engine.asarray(truth.indptr.astype(np.int64)),
            engine.asarray(truth.indices.astype(np.int32)),
            engine.asarray(truth.data),
            truth.shape,
        )

        def work() -> Any:
            found = engine.rank_metrics(listed, relevant, [_TOP])
            return found.precision[0], found.recall[0], found.ndcg[0]

        return work

    on_gpu = engine.name == "cuda"
    device = "cuda" if on_gpu else "cpu"
    too_many = f"{n} users: its dense scores are for {_DENSE_USERS} at most here"
    return Case(
        contenders=[
            Contender(
                "gpu_coldstart", ours, lambda found: _stack(engine.to_host, found), ours=True
            ),
            Contender(
                "ranx, its objects made before", lambda: _ranx(tracks, truth), needs=("ranx",)
            ),
            Contender(
                "PyTorch, dense truth",
                lambda: _torch(tracks, truth, torch.device(device)),
                lambda found: _stack(lambda part: part.cpu().numpy(), found),
                device=device,
            ),
            Contender(
                "scikit-learn",
                lambda: _sklearn(tracks, truth),
                refused=too_many if n > _DENSE_USERS else "",
            ),
        ],
        quality=lambda found, mine: {
            **dict(
                zip(("precision", "recall", "ndcg"), map(float, found.mean(axis=1)), strict=True)
            ),
            "largest difference": float(np.abs(found - mine).max()),
        },
        rules=(Rule("largest difference", SAME, 1e-5),),
        sizes={"users": n, "tracks": m, "truth": truth.nnz, "top": _TOP},
        items="users",
        bytes=4.0 * (tracks.size + truth.nnz) + 24.0 * n,
    )


def _made_up(n: int, m: int, seed: int) -> tuple[Floats, sp.csr_array]:
    """Lists of distinct tracks, and truths of which about a quarter are listed."""
    rng = np.random.default_rng(seed)
    longest = min(_TRUTH, m // 2)
    tracks = np.empty((n, _TOP), np.int32)
    rows = []
    for user in range(n):
        drawn = (
            rng.permutation(m)[: longest + _TOP] if m < 5000 else _distinct(rng, m, longest + _TOP)
        )
        tracks[user] = rng.permutation(drawn[:_TOP])
        size = int(rng.integers(1, longest))
        hits = rng.integers(0, min(size, _TOP // 2) + 1)
        rows.append(np.concatenate([drawn[:hits], drawn[_TOP : _TOP + size - hits]]))
    lengths = [len(row) for row in rows]
    truth = sp.csr_array(
        (
            np.ones(sum(lengths), np.float32),
            np.concatenate(rows),
            np.concatenate([[0], np.cumsum(lengths)]),
        ),
        shape=(n, m),
    )
    truth.sort_indices()
    return tracks, truth


def _distinct(rng: np.random.Generator, m: int, wanted: int) -> Floats:
    """``wanted`` distinct numbers below ``m``, in random order."""
    drawn = np.unique(rng.integers(m, size=2 * wanted))
    return rng.permutation(drawn)[:wanted]


def _stack(host: Callable[[Any], Floats], found: Any) -> Floats:
    """Precision, recall and NDCG [3, users] on the host."""
    return np.stack([np.asarray(host(part), np.float64) for part in found])


def _ranx(tracks: Floats, truth: sp.csr_array) -> Work:
    """Its own dictionaries of text are made before, which takes longer than what is timed."""
    import ranx

    n = len(tracks)
    names = [f"u{user:06}" for user in range(n)]  # it sorts users by name
    relevant = {
        name: dict.fromkeys(map(str, truth.indices[truth.indptr[i] : truth.indptr[i + 1]]), 1)
        for i, name in enumerate(names)
    }
    listed = {
        name: {str(track): float(_TOP - place) for place, track in enumerate(tracks[i])}
        for i, name in enumerate(names)
    }
    qrels, run = ranx.Qrels(relevant), ranx.Run(listed)
    sizes = np.diff(truth.indptr)
    measures = [f"hits@{_TOP}", f"recall@{_TOP}", f"ndcg@{_TOP}"]

    def work() -> Floats:
        found = ranx.evaluate(qrels, run, measures, return_mean=False)
        hits, recall, ndcg = (np.asarray(found[name]) for name in measures)
        return np.stack([hits / np.minimum(sizes, _TOP), recall, ndcg])

    return work


def _torch(tracks: Floats, truth: sp.csr_array, device: torch.device) -> Work:
    listed = torch.from_numpy(tracks.astype(np.int64)).to(device)
    pairs = truth.tocoo()
    rows, columns = (
        torch.from_numpy(part.astype(np.int64)).to(device) for part in (pairs.row, pairs.col)
    )
    discounts = 1 / torch.log2(torch.arange(2, _TOP + 2, dtype=torch.float64, device=device))

    def work() -> tuple[torch.Tensor, ...]:
        relevant = torch.zeros(truth.shape, dtype=torch.bool, device=device)
        relevant[rows, columns] = True
        sizes = torch.bincount(rows, minlength=truth.shape[0])
        hits = relevant.gather(1, listed).double()
        reachable = sizes.clamp(max=_TOP)
        found = hits.sum(1)
        ideal = discounts.cumsum(0)[reachable - 1]
        return found / reachable, found / sizes, hits @ discounts / ideal

    return work


def _sklearn(tracks: Floats, truth: sp.csr_array) -> Work:
    from sklearn.metrics import ndcg_score

    n = len(tracks)

    def work() -> Floats:
        relevant = truth.toarray()
        scores = np.zeros(truth.shape)
        np.put_along_axis(scores, tracks, np.arange(_TOP, 0, -1.0)[None], axis=1)
        hits = np.take_along_axis(relevant, tracks, axis=1).sum(axis=1)
        sizes = relevant.sum(axis=1)
        # Ties among what is not listed do not matter at 50, and averaging over them is slow.
        ndcg = [
            ndcg_score(relevant[i : i + 1], scores[i : i + 1], k=_TOP, ignore_ties=True)
            for i in range(n)
        ]
        return np.stack([hits / np.minimum(sizes, _TOP), hits / sizes, np.array(ndcg)])

    return work


BENCHMARKS = (
    Benchmark(
        "metrics",
        f"lists of {_TOP} tracks and what users streamed (both made up) to precision, recall and "
        "NDCG of every user",
        _prepare,
    ),
)
"""What this file measures."""
