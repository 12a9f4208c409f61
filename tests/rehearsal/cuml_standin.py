"""The stand-in for cuML: k-means that may leave a cluster empty, as the real one can."""

from __future__ import annotations

import warnings
from types import ModuleType
from typing import Any

import numpy as np
from sklearn.cluster import KMeans as HostKMeans

from tests.rehearsal.cupy_array import Ndarray, wrap
from tests.rehearsal.record import Call, UndefinedError, current, note

__all__ = ["KMeans", "make"]

_INITS = {"scalable-k-means++", "k-means||", "k-means++", "random"}


class KMeans:
    """``cuml.cluster.KMeans``; points fewer than clusters, or the stage, leave some empty."""

    def __init__(
        self,
        *,
        n_clusters: int = 8,
        max_iter: int = 300,
        tol: float = 1e-4,
        verbose: bool = False,
        random_state: int | None = None,
        init: Any = "scalable-k-means++",
        n_init: Any = "auto",
        oversampling_factor: float = 2.0,
        max_samples_per_batch: int = 1 << 15,
        output_type: str | None = None,
    ):
        if isinstance(init, str) and init not in _INITS:
            raise ValueError(f"unknown init {init!r}")
        if output_type not in {None, "input", "cupy"}:
            raise NotImplementedError("output on the device only")
        for name, value in (("n_clusters", n_clusters), ("max_iter", max_iter)):
            if not isinstance(value, int):
                raise TypeError(f"{name} is {type(value)}, not a host integer")
        if not tol > 0:
            raise RuntimeError("invalid parameter (tol<=0)")
        self._k, self._iterations, self._seed = n_clusters, max_iter, random_state
        if n_init != "auto" and not (isinstance(n_init, int) and n_init > 0):
            raise TypeError(f"n_init is {n_init!r}, neither 'auto' nor a host integer from 1")
        plus_plus = isinstance(init, str) and init != "random"
        self._starts = n_init if n_init != "auto" else 1 if plus_plus else 10
        self._init, self._tolerance = init, tol

    def fit(
        self,
        X: Any,  # noqa: N803 - its name in the library
        y: Any = None,
        sample_weight: Any = None,
        *,
        convert_dtype: bool = True,
    ) -> KMeans:
        keywords = {} if sample_weight is None else {"sample_weight": sample_weight}
        note("cuml.cluster.KMeans.fit", (X,), keywords)
        points = _points(X)
        if len(points) < self._k:
            raise ValueError(f"n_samples={len(points)} should be >= n_clusters={self._k}.")
        self._check_memory(points)
        weights = None if sample_weight is None else _points(sample_weight, axes=1)
        centers = self._centers(points, weights)
        wide, middle = points.astype(np.float64), centers.astype(np.float64)
        squares = (wide**2).sum(axis=1)[:, None] + (middle**2).sum(axis=1) - 2 * wide @ middle.T
        labels = squares.argmin(axis=1)
        self.cluster_centers_ = wrap(centers)
        self.labels_ = wrap(labels.astype(np.int32))
        self.inertia_ = float(np.float32(squares.min(axis=1).sum()))
        self.n_iter_ = self._iterations
        return self

    def _check_memory(self, points: Any) -> None:
        """From capability 10 on, the real one stores all distances, of candidates too."""
        stage = current()
        if int(stage.compute_capability) < 100:
            return
        scalable = isinstance(self._init, str) and self._init in {"scalable-k-means++", "k-means||"}
        candidates = (16 if scalable else 1) * self._k
        size = 4 * len(points) * candidates
        if size > (stage.largest_allocation or stage.total_memory):
            raise MemoryError(f"std::bad_alloc: out_of_memory: {size} bytes")

    def _centers(self, points: Any, weights: Any) -> Any:
        empty = int(current().empty_cluster and self._k > 1)
        start: Any = "k-means++"
        starts = self._starts
        if not isinstance(self._init, str):
            start, empty, starts = _points(self._init), 0, 1
        model = HostKMeans(
            self._k - empty,
            init=start,
            n_init=starts,
            max_iter=self._iterations,
            tol=self._tolerance,
            random_state=self._seed,
        )
        with warnings.catch_warnings():  # of fewer distinct points than clusters
            warnings.simplefilter("ignore")
            centers = model.fit(points, sample_weight=weights).cluster_centers_.astype(np.float32)
        # As equal centres attract to the first of them, the other has no members.
        return np.concatenate([centers, centers[:empty]])


def _points(array: Any, axes: int = 2) -> Any:
    if not isinstance(array, Ndarray):
        raise UndefinedError(f"cuML was given {type(array)}, which it would copy to the device")
    if array.ndim != axes or array.dtype != np.float32 or not array._host.flags.c_contiguous:
        raise UndefinedError("cuML would copy what is not float32 and contiguous by rows")
    if not np.isfinite(array._host).all():
        raise ValueError("Input contains NaN or infinity")
    return array._host


def _recorded(**options: Any) -> KMeans:
    current().calls.add(Call("cuml.cluster.KMeans", 0, tuple(sorted(options))))
    return KMeans(**options)


def make() -> dict[str, ModuleType]:
    """The modules, by name."""
    module: Any = ModuleType("cuml")
    module.__version__ = "26.06.00"
    module.cluster = ModuleType("cuml.cluster")
    module.cluster.KMeans = module.KMeans = _recorded
    return {"cuml": module, "cuml.cluster": module.cluster}
