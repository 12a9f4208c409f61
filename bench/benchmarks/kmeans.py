"""k-means of the warm users, one segment for 70 of them (3.1.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.cases import LOWER, Benchmark, Case, Contender, Rule, Setting, Work
from bench.data import Floats
from gpu_coldstart.engine.base import KmeansOptions


def _prepare(setting: Setting) -> Case:
    engine, k = setting.engine, setting.data.segments
    users = setting.data.space.users
    on_host = np.ascontiguousarray(engine.to_host(users))
    iterations, seed = setting.data.config.segments.iterations, setting.seed
    n, d = on_host.shape

    def ours() -> Work:
        options = KmeansOptions(k=k, iterations=iterations, seed=seed)
        return lambda: engine.kmeans(users, options).centroids

    def faiss() -> Work:
        import faiss

        def work() -> Floats:
            model = faiss.Kmeans(
                d,
                k,
                niter=iterations,
                seed=seed,
                min_points_per_centroid=1,
                max_points_per_centroid=n,
            )
            model.train(on_host)
            return np.asarray(model.centroids)

        return work

    def lloyd() -> Work:
        from sklearn.cluster import KMeans

        return lambda: KMeans(k, n_init=1, max_iter=iterations, random_state=seed).fit(on_host)

    def batches() -> Work:
        from sklearn.cluster import MiniBatchKMeans

        return lambda: MiniBatchKMeans(
            k, n_init=1, max_iter=iterations, batch_size=4096, random_state=seed
        ).fit(on_host)

    def cuml() -> Work:
        from cuml.cluster import KMeans

        return lambda: KMeans(
            n_clusters=k, max_iter=iterations, random_state=seed, output_type="cupy"
        ).fit(users)

    def fitted(model: Any) -> Floats:
        return np.asarray(model.cluster_centers_)

    def on_device(model: Any) -> Floats:
        return np.asarray(engine.to_host(model.cluster_centers_))

    return Case(
        contenders=[
            Contender("gpu_coldstart", ours, engine.to_host, ours=True),
            Contender("faiss, random start", faiss, needs=("faiss",)),
            Contender("scikit-learn, k-means++", lloyd, fitted),
            Contender("scikit-learn, mini-batches", batches, fitted),
            Contender("cuML", cuml, on_device, needs=("cuml",), device="cuda"),
        ],
        quality=lambda centroids, _: {"inertia": _inertia(on_host, centroids)},
        rules=(Rule("inertia", LOWER, 0.01),),
        sizes={"users": n, "d": d, "k": k, "iterations": iterations},
        items="users",
        bytes=4.0 * iterations * n * d,
        flops=2.0 * iterations * n * d * k,
    )


def _inertia(points: Floats, centroids: Floats) -> float:
    """Sum of squared distances to the nearest centroid, in double precision."""
    centroids = np.asarray(centroids, np.float64)
    total, squares = 0.0, (centroids**2).sum(axis=1)
    for start in range(0, len(points), 4096):
        some = points[start : start + 4096].astype(np.float64)
        nearest = (squares - 2 * some @ centroids.T).argmin(axis=1)
        total += float(((some - centroids[nearest]) ** 2).sum())
    return total


BENCHMARKS = (
    Benchmark(
        "kmeans",
        "warm users of the TT-SVD space to segments, from k-means++, at most 20 iterations (ours "
        "ends where one hardly helps); inertia of the centroids beside the time",
        _prepare,
        slow=True,
        most_rounds=5,
    ),
)
"""What this file measures."""
