"""Weighted matrix factorisation by ALS, d = 128 and 256 (3.1.1)."""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from bench.cases import LOWER, Benchmark, Case, Contender, Rule, Setting, UnavailableError, Work
from bench.data import Floats, host
from gpu_coldstart.engine.base import AlsOptions
from gpu_coldstart.spaces import ut_als

_ITERATIONS = 5


def _prepare(setting: Setting, *, factors: int) -> Case:
    options = setting.data.config.ut_als
    affinity = ut_als.affinity(setting.engine, setting.data.logs, options)
    on_host = host(setting.engine, affinity)
    confidence = sp.csr_matrix(on_host, dtype=np.float32)
    confidence.data = 1 + np.float32(options.confidence) * confidence.data

    def quality(result: tuple[Floats, Floats], _: object) -> dict[str, float]:
        return {"objective": _objective(confidence, *result, options.regularization)}

    cpu, gpu = (_Implicit(setting, confidence, factors, on_gpu=on_gpu) for on_gpu in (False, True))
    users, tracks = confidence.shape
    # A step multiplies every row by the Gramian and by its own entries, from both sides.
    steps = _ITERATIONS * (options.cg_steps + 1)
    return Case(
        contenders=[
            _ours(setting, affinity, factors),
            Contender("implicit", cpu.start, needs=("implicit",), trace=cpu.trace),
            Contender(
                "implicit, GPU",
                gpu.start,
                gpu.fetched,
                needs=("implicit",),
                device="cuda",
                trace=gpu.trace,
            ),
        ],
        quality=quality,
        rules=(Rule("objective", LOWER, 0.01),),
        sizes={
            "users": users,
            "tracks": tracks,
            "entries": confidence.nnz,
            "d": factors,
            "iterations": _ITERATIONS,
        },
        items="entries",
        bytes=2.0 * steps * confidence.nnz * (4 * factors + 8),
        flops=steps * (8.0 * confidence.nnz * factors + 2.0 * (users + tracks) * factors**2),
    )


def _ours(setting: Setting, affinity: Any, factors: int) -> Contender:
    engine, options = setting.engine, setting.data.config.ut_als

    def fit(progress: Any) -> tuple[Any, Any]:
        return engine.als(
            affinity,
            AlsOptions(
                factors=factors,
                iterations=_ITERATIONS,
                regularization=options.regularization,
                confidence=options.confidence,
                cg_steps=options.cg_steps,
                seed=setting.seed,
            ),
            progress,
        )

    def trace() -> list[tuple[float, float]]:
        found: list[tuple[float, float]] = []
        begun = time.perf_counter()
        # The objective comes with every iteration, so its time counts.
        fit(lambda _, loss: found.append((time.perf_counter() - begun, loss)))
        return found

    return Contender(
        "gpu_coldstart",
        lambda: lambda: fit(lambda *_: None),
        lambda result: tuple(map(engine.to_host, result)),
        ours=True,
        trace=trace,
    )


class _Implicit:
    """The package implicit on the same confidences, with the same solver and as many steps."""

    def __init__(self, setting: Setting, confidence: Any, factors: int, *, on_gpu: bool):
        self._setting, self._confidence = setting, confidence
        self._factors, self._on_gpu = factors, on_gpu

    def start(self) -> Work:
        """The whole fit."""
        self._model()  # loads the library

        def work() -> tuple[Any, Any]:
            model = self._model()
            with threadpool_limits(1, "blas"):  # as it asks for
                model.fit(self._confidence, show_progress=False)
            return model.user_factors, model.item_factors

        return work

    def trace(self) -> list[tuple[float, float]]:
        """The objective after each iteration, its own time left out."""
        model, found, spent = self._model(), [], 0.0

        def after(iteration: int, seconds: float, loss: object) -> None:
            nonlocal spent
            del iteration, loss
            spent += seconds
            factors = self._host(model.user_factors), self._host(model.item_factors)
            found.append((spent, _objective(self._confidence, *factors, model.regularization)))

        with threadpool_limits(1, "blas"):
            model.fit(self._confidence, show_progress=False, callback=after)
        return found

    def fetched(self, result: tuple[Any, Any]) -> tuple[Floats, Floats]:
        """Both factors on the host."""
        return self._host(result[0]), self._host(result[1])

    def _host(self, matrix: Any) -> Floats:
        found: Floats = matrix.to_numpy() if self._on_gpu else matrix
        return found

    def _model(self) -> Any:
        options = self._setting.data.config.ut_als
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # where its GPU half does not load
            import implicit.gpu
            from implicit.als import AlternatingLeastSquares
        if self._on_gpu and not implicit.gpu.HAS_CUDA:
            raise UnavailableError("the GPU half of implicit does not load here")
        with threadpool_limits(1, "blas"):  # it looks when it is made, too
            model = AlternatingLeastSquares(
                factors=self._factors,
                regularization=options.regularization,
                iterations=_ITERATIONS,
                use_gpu=self._on_gpu,
                random_state=self._setting.seed,
                **({} if self._on_gpu else {"num_threads": self._setting.threads}),
            )
        model.cg_steps = options.cg_steps
        return model


def _objective(confidence: Any, users: Floats, tracks: Floats, regularization: float) -> float:
    """``sum c (p - x.y)^2 + l (sum|x|^2 + sum|y|^2)`` over all cells, divided by their number.

    Cells without an entry have p = 0 and c = 1: their sum is that of all squares, by the
    Gramians, less the entries' own.
    """
    x, y = (np.asarray(part, np.float64) for part in (users, tracks))
    total = float(((x.T @ x) * (y.T @ y)).sum())
    for start in range(0, len(x), 1024):
        rows = confidence[start : start + 1024].tocoo()
        at_entries = np.einsum("ij,ij->i", x[start + rows.row], y[rows.col])
        total += float((rows.data * (1 - at_entries) ** 2 - at_entries**2).sum())
    total += regularization * float((x * x).sum() + (y * y).sum())
    return total / (len(x) * len(y))


BENCHMARKS = tuple(
    Benchmark(
        f"als-{factors}",
        f"affinities users x tracks to factors of {factors}, {_ITERATIONS} iterations of 3 "
        "conjugate-gradient steps; ours also computes the objective after each",
        partial(_prepare, factors=factors),
        slow=True,
        most_rounds=3,
    )
    for factors in (128, 256)
)
"""What this file measures."""
