"""The 50 nearest tracks of predicted users (3.2.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from bench.cases import SAME, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats, points

_USERS, _TRACKS, _DIMENSION = 10_000, 50_000, 128
_TOP = 50
_BATCH = 512


def _prepare(setting: Setting) -> Case:
    engine = setting.engine
    n, m = (max(200, round(setting.scale * size)) for size in (_USERS, _TRACKS))
    users, tracks = points(n, _DIMENSION, setting.seed + 1), points(m, _DIMENSION, setting.seed)

    def ours() -> Work:
        queries, items = engine.asarray(users), engine.asarray(tracks)
        return lambda: engine.top_k(queries, items, _TOP)

    def fetched(result: tuple[Any, Any]) -> tuple[Floats, Floats]:
        return engine.to_host(result[0]), engine.to_host(result[1])

    on_gpu = engine.name == "cuda"
    device = "cuda" if on_gpu else "cpu"
    return Case(
        contenders=[
            Contender("gpu_coldstart", ours, fetched, ours=True),
            Contender(
                "implicit, topk",
                lambda: _implicit(users, tracks, setting.threads),
                needs=("implicit",),
            ),
            Contender("faiss", lambda: _faiss(users, tracks), needs=("faiss",)),
            Contender(
                "PyTorch, product and topk",
                lambda: _torch(users, tracks, torch.device(device)),
                _on_host,
                device=device,
            ),
            Contender(
                "faiss, GPU",
                lambda: _faiss_gpu(users, tracks),
                _on_host,
                needs=("faiss.contrib.torch_utils",),
                device="cuda",
            ),
            Contender(
                "cuVS", lambda: _cuvs(users, tracks), _on_host, needs=("cuvs",), device="cuda"
            ),
        ],
        quality=_quality,
        rules=(Rule("share that is ours", SAME, 1e-3), Rule("largest difference", SAME, 1e-5)),
        sizes={"users": n, "tracks": m, "d": _DIMENSION, "top": _TOP},
        items="users",
        bytes=4.0 * _DIMENSION * (n + m) + 8.0 * n * _TOP,
        flops=2.0 * n * m * _DIMENSION,
    )


def _implicit(users: Floats, tracks: Floats, threads: int) -> Work:
    from implicit.cpu.topk import topk

    def work() -> tuple[Floats, Floats]:
        with threadpool_limits(1, "blas"):  # it calls BLAS from threads of its own
            found, scores = topk(tracks, users, _TOP, num_threads=threads)
        return found, scores

    return work


def _faiss(users: Floats, tracks: Floats) -> Work:
    import faiss

    def work() -> tuple[Floats, Floats]:
        scores, found = faiss.knn(users, tracks, _TOP, metric=faiss.METRIC_INNER_PRODUCT)
        return found, scores

    return work


def _torch(users: Floats, tracks: Floats, device: torch.device) -> Work:
    queries, items = (torch.from_numpy(part).to(device) for part in (users, tracks))

    def work() -> tuple[torch.Tensor, torch.Tensor]:
        found = [
            (queries[start : start + _BATCH] @ items.T).topk(_TOP, dim=1)
            for start in range(0, len(queries), _BATCH)
        ]
        return torch.cat([one.indices for one in found]), torch.cat([one.values for one in found])

    return work


def _faiss_gpu(users: Floats, tracks: Floats) -> Work:
    import faiss
    import faiss.contrib.torch_utils  # noqa: F401 - lets faiss take tensors

    library: Any = faiss  # its types know no lists of arguments
    resources = library.StandardGpuResources()
    on_device = [torch.from_numpy(part).cuda() for part in (users, tracks)]

    def work() -> tuple[Any, Any]:
        scores, found = library.knn_gpu(
            resources, *on_device, _TOP, metric=faiss.METRIC_INNER_PRODUCT
        )
        return found, scores

    return work


def _cuvs(users: Floats, tracks: Floats) -> Work:
    import cupy as cp
    from cuvs.neighbors import brute_force

    queries, items = cp.asarray(users), cp.asarray(tracks)

    def work() -> tuple[Any, Any]:
        index = brute_force.build(items, metric="inner_product")
        scores, found = brute_force.search(index, queries, _TOP)
        return cp.asarray(found), cp.asarray(scores)

    return work


def _on_host(result: tuple[Any, Any]) -> tuple[Floats, Floats]:
    """From tensors or CuPy arrays."""
    found, scores = (np.asarray(torch.as_tensor(part).cpu()) for part in result)
    return found, scores


def _quality(result: tuple[Floats, Floats], ours: tuple[Floats, Floats]) -> dict[str, float]:
    found, mine = np.sort(result[0], axis=1), np.sort(ours[0], axis=1)
    shared = [
        len(np.intersect1d(*pair, assume_unique=True)) for pair in zip(found, mine, strict=True)
    ]
    return {
        "share that is ours": float(np.mean(shared)) / found.shape[1],
        "largest difference": float(np.abs(result[1] - ours[1]).max()),
    }


BENCHMARKS = (
    Benchmark(
        "top-50",
        f"queries to their {_TOP} items of largest inner product; random clustered points, as "
        "values do not change the cost",
        _prepare,
    ),
)
"""What this file measures."""
