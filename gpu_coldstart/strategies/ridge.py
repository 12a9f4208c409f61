"""Ridge: every track's audience by linear regression on the input vector, in closed form.

The paper trains a network for a place in the space and ranks tracks from there. Ridge is fitted to
what is wanted, the tracks that a warm user streamed, as EASE and its kin do (Steck 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from gpu_coldstart.batches import batches
from gpu_coldstart.config.components import RidgeConfig
from gpu_coldstart.data.signals import BLOCKS
from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward
from gpu_coldstart.engine.types import Dense
from gpu_coldstart.features import Inputs
from gpu_coldstart.spaces import Progress
from gpu_coldstart.spaces.similarity import Retriever
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.tuning import tuned

__all__ = ["Ridge"]

_BATCH = 4096
_POWER_ITERATIONS, _OVERSAMPLES = 3, 20


@dataclass(frozen=True)
class Regression:
    """A regression from the input vector x to tracks: ``network(x) . tracks[t]``.

    Attributes
    ----------
    network : Feedforward
        One layer, to c + 1 numbers.
    tracks : Array [tracks, c + 1] of float32
        Of each track, its products with the principal components, and its mean.
    curve : tuple of float
        NDCG of the validation users for each strength tried.
    """

    network: Feedforward
    tracks: Array
    curve: tuple[float, ...] = ()


class Ridge(Strategy):
    """Tracks in the order of the probability, linear in the input vector, that a user streams them.

    Minimises ``sum_ut (y_ut - mean_t - (x_u - mean) . b_t)^2 + strength n sum_t |b_t|^2`` over the
    n warm users, with y = 1 for a track streamed, and each block of the input vector scaled to a
    variance of 1 in all. Only the first ``strategies.ridge_components`` principal components of
    the input vectors take part, and no matrix of users by tracks is ever made. Scores estimate the
    share of users alike who stream the track.
    """

    name = "ridge"
    label = "Ridge"
    uses_prediction = False
    State = Regression

    Parameters = RidgeConfig

    def __init__(self, context: Context, parameters: Any = None, state: Any = None):
        super().__init__(context, parameters, state)
        self._retriever = Retriever(context.engine, state.tracks, "inner")

    @classmethod
    def fit(cls, context: Context, parameters: Any, past: Past, progress: Progress) -> Regression:
        """Solve for every strength and target, and keep the best on the validation users."""
        engine, xp, logs = context.engine, context.engine.xp, past.logs
        progress(0, 2, "covariance of the input vectors")
        mean, scale, covariance = _moments(engine, past.inputs, logs.n_warm)
        variances, axes = _principal(engine, covariance, parameters.components, context.seed)
        progress(1, 2, "products with the tracks")
        axes *= scale[:, None]
        components = _components(engine, past.inputs, logs.n_warm, mean=mean, axes=axes)
        targets = {"all": logs.plays, "month": logs.month}

        def tried(target: str, strengths: Sequence[float], best: Regression | None) -> Regression:
            products, share = _products(engine, targets[target], components, logs.n_warm)

            def solved(strength: float) -> Regression:
                tracks = xp.concatenate([products / (variances + strength), share[:, None]], axis=1)
                return _balanced(xp, tracks, axes, variances=variances, mean=mean)

            trials = {f"{target}, strength {each}": partial(solved, each) for each in strengths}
            return tuned(partial(cls, context, parameters), trials, past, progress, best)

        first, *others = parameters.targets
        best = tried(first, parameters.strengths, None)
        strength = parameters.strengths[best.curve.index(max(best.curve))]
        for other in others:
            best = tried(other, [strength], best)
        return best

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        queries = self.context.engine.feed_forward(self.state.network, users.vectors())
        return Ranking(*self._retriever.rank(queries, k))


def _moments(engine: Engine, inputs: Inputs, n: int) -> tuple[Array, Array, Array]:
    """Mean [width] of the first ``n`` users' vectors, scale [width], covariance as scaled."""
    xp, width = engine.xp, inputs.width
    total = xp.zeros(width)
    products = xp.zeros((width, width))
    for some in batches(n, _BATCH):
        vectors = inputs.batch(xp.arange(some.start, some.stop))
        total += vectors.sum(axis=0, dtype=xp.float64)
        products += vectors.T @ vectors
    mean = total / n
    square = xp.diagonal(products) / n
    variance = xp.where(square - mean**2 > 1e-6 * square, square - mean**2, 0)
    scale = xp.zeros(width)
    size = (width - inputs.scalars.shape[1]) // len(BLOCKS)
    blocks = [slice(i * size, (i + 1) * size) for i in range(len(BLOCKS))]
    for block in blocks:
        spread = variance[block].sum()
        scale[block] = xp.where(spread > 0, spread, 1) ** -0.5
    rest = slice(len(BLOCKS) * size, width)
    scale[rest] = xp.where(variance[rest] > 0, variance[rest] * inputs.scalars.shape[1], 1) ** -0.5
    scale[variance == 0] = 0
    covariance = (products / n - mean[:, None] * mean) * scale[:, None] * scale
    return mean.astype(xp.float32), scale.astype(xp.float32), covariance.astype(xp.float32)


def _principal(
    engine: Engine, covariance: Array, components: int, seed: int
) -> tuple[Array, Array]:
    """The largest eigenvalues [c] and their vectors [width, c], by a randomised range finder."""
    xp, width = engine.xp, len(covariance)
    c = min(components, width)
    start = np.random.default_rng(seed).standard_normal((width, min(width, c + _OVERSAMPLES)))
    basis = engine.asarray(start.astype(np.float32))
    for _ in range(_POWER_ITERATIONS):
        basis = xp.linalg.qr(covariance @ basis)[0]
    values, vectors = xp.linalg.eigh(basis.T @ (covariance @ basis))
    return xp.maximum(values[::-1][:c], 0), basis @ vectors[:, ::-1][:, :c]


def _components(engine: Engine, inputs: Inputs, n: int, *, mean: Array, axes: Array) -> Array:
    """Principal components [n, c] of the first ``n`` users' vectors."""
    xp = engine.xp
    made = xp.empty((n, axes.shape[1]), dtype=xp.float32)
    for some in batches(n, _BATCH):
        made[some] = (inputs.batch(xp.arange(some.start, some.stop)) - mean) @ axes
    return made


def _products(engine: Engine, plays: Csr, components: Array, n: int) -> tuple[Array, Array]:
    """Sum of the components of each track's audience [tracks, c], and its size, over ``n``."""
    xp = engine.xp
    audience = engine.transpose(plays.with_data(xp.ones(plays.nnz, dtype=xp.float32)))
    sizes = xp.diff(audience.indptr).astype(xp.float32)
    return engine.pool(audience, components) * sizes[:, None] / n, sizes / n


def _balanced(xp: Any, tracks: Array, axes: Array, *, variances: Array, mean: Array) -> Regression:
    """The regression by components along axes [width, c] to tracks [tracks, c + 1].

    Both sides of the product are made alike in size, axis by axis, so that single precision tells
    apart as many scores as it can.
    """
    balance = _balance(xp, variances, tracks[:, :-1])
    tracks[:, :-1] *= balance
    weights = xp.zeros((len(mean), tracks.shape[1]), dtype=xp.float32)
    weights[:, :-1] = axes / balance
    offset = -(mean @ weights)
    offset[-1] = 1
    return Regression(Feedforward((Dense(weights, offset),)), tracks)


def _balance(xp: Any, variances: Array, tracks: Array) -> Array:
    """Factors [c] that give the two sides of a product of vectors the same size on each axis."""
    size = (tracks * tracks).mean(axis=0)
    usable = (variances > 0) & (size > 0)
    return xp.where(usable, variances / xp.where(usable, size, 1), 1) ** 0.25
