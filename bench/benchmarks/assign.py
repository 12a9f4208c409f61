"""Nearest segments of predicted users (3.2.4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from bench.cases import SAME, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats, points

_USERS, _SEGMENTS, _DIMENSION = 30_000, 1000, 128
_NEAREST = 5


def _prepare(setting: Setting) -> Case:
    engine = setting.engine
    n = max(200, round(setting.scale * _USERS))
    k = min(_SEGMENTS, max(20, round(setting.scale * _SEGMENTS)))
    users, centroids = points(n, _DIMENSION, setting.seed + 1), points(k, _DIMENSION, setting.seed)

    def ours() -> Work:
        theirs, centres = engine.asarray(users), engine.asarray(centroids)
        return lambda: engine.nearest(theirs, centres, _NEAREST)

    def fetched(result: tuple[Any, Any]) -> tuple[Floats, Floats]:
        return engine.to_host(result[0]), engine.to_host(result[1])

    on_gpu = engine.name == "cuda"
    device = "cuda" if on_gpu else "cpu"
    return Case(
        contenders=[
            Contender("gpu_coldstart", ours, fetched, ours=True),
            Contender("faiss", lambda: _faiss(users, centroids), _rooted, needs=("faiss",)),
            Contender("scikit-learn", lambda: _sklearn(users, centroids)),
            Contender(
                "PyTorch, product and topk",
                lambda: _torch(users, centroids, torch.device(device)),
                lambda found: (found[0].cpu().numpy(), found[1].cpu().numpy()),
                device=device,
            ),
            Contender(
                "faiss, GPU",
                lambda: _faiss_gpu(users, centroids),
                _rooted,
                needs=("faiss.contrib.torch_utils",),
                device="cuda",
            ),
        ],
        quality=_quality,
        rules=(Rule("share that is ours", SAME, 1e-3), Rule("largest difference", SAME, 2e-3)),
        sizes={"users": n, "segments": k, "d": _DIMENSION, "nearest": _NEAREST},
        items="users",
        bytes=4.0 * _DIMENSION * (n + k) + 8.0 * n * _NEAREST,
        flops=2.0 * n * k * _DIMENSION,
    )


def _faiss(users: Floats, centroids: Floats) -> Work:
    import faiss

    def work() -> tuple[Floats, Floats]:
        distances, labels = faiss.knn(users, centroids, _NEAREST)
        return labels, distances

    return work


def _faiss_gpu(users: Floats, centroids: Floats) -> Work:
    import faiss
    import faiss.contrib.torch_utils  # noqa: F401 - lets faiss take tensors

    library: Any = faiss  # its types know no lists of arguments
    resources = library.StandardGpuResources()
    on_device = [torch.from_numpy(part).cuda() for part in (users, centroids)]

    def work() -> tuple[Any, Any]:
        distances, labels = library.knn_gpu(resources, *on_device, _NEAREST)
        return labels, distances

    return work


def _rooted(result: tuple[Any, Any]) -> tuple[Floats, Floats]:
    """Of squared distances, as faiss gives them."""
    labels, squares = (np.asarray(torch.as_tensor(part).cpu()) for part in result)
    return labels, np.sqrt(np.maximum(squares, 0))


def _sklearn(users: Floats, centroids: Floats) -> Work:
    from sklearn.neighbors import NearestNeighbors

    def work() -> tuple[Floats, Floats]:
        search = NearestNeighbors(n_neighbors=_NEAREST, algorithm="brute").fit(centroids)
        distances, labels = search.kneighbors(users)
        return labels, distances

    return work


def _torch(users: Floats, centroids: Floats, device: torch.device) -> Work:
    theirs, centres = (torch.from_numpy(part).to(device) for part in (users, centroids))

    def work() -> tuple[torch.Tensor, torch.Tensor]:
        squares = torch.addmm((centres * centres).sum(1), theirs, centres.T, alpha=-2)
        least, labels = squares.topk(_NEAREST, dim=1, largest=False)
        return labels, (least + (theirs * theirs).sum(1, keepdim=True)).clamp(min=0).sqrt()

    return work


def _quality(result: tuple[Floats, Floats], ours: tuple[Floats, Floats]) -> dict[str, float]:
    shared = (result[0][:, :, None] == ours[0][:, None, :]).any(axis=2)
    return {
        "share that is ours": float(shared.mean()),
        "largest difference": float(np.abs(result[1] - ours[1]).max()),
    }


BENCHMARKS = (
    Benchmark(
        "assign",
        f"points to their {_NEAREST} nearest centroids and the distances; random clustered points, "
        "as values do not change the cost",
        _prepare,
    ),
)
"""What this file measures."""
