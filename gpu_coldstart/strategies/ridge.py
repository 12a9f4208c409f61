"""Ridge: every track's audience by linear regression on the input vector, in closed form.

The paper trains a network for a place in the space and ranks tracks by their own places. Ridge is
fitted to what is wanted, the tracks that a warm user streamed, as EASE and its kin do (Steck 2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from gpu_coldstart.batches import batches
from gpu_coldstart.config.components import RidgeConfig
from gpu_coldstart.data.signals import BLOCKS, SCALARS
from gpu_coldstart.engine.base import Array, Csr, Engine, Feedforward
from gpu_coldstart.engine.types import Dense
from gpu_coldstart.spaces import Progress
from gpu_coldstart.spaces.similarity import Retriever
from gpu_coldstart.strategies.base import Context, Past, Ranking, Strategy, Users
from gpu_coldstart.strategies.tuning import tuned

__all__ = ["Ridge"]

_BATCH = 4096
_OVERSAMPLES = 20
_NOISE = 1e-6  # of the largest variance; less is rounding


@dataclass(frozen=True)
class Regression:
    """A regression from the input vector x to tracks: ``network(x) . tracks[t]``.

    Attributes
    ----------
    network : Feedforward
        One layer, to c + 1 numbers.
    tracks : Array [tracks, c + 1] of float32
        Of each track, its products with the vector it is told from, and its mean.
    curve : tuple of float
        NDCG of the validation users for each trial.
    """

    network: Feedforward
    tracks: Array
    curve: tuple[float, ...] = ()


@dataclass(frozen=True)
class Route:
    """What tracks are told from: a vector z of each user, which is told from the input vector.

    Attributes
    ----------
    warm : Array [n, c] of float32
        Of warm users, as they are known: uncorrelated, and with a mean of 0.
    variances : Array [c] of float32
        Of ``warm``.
    covariance : Array [p, c] of float32
        Of the principal components of warm users' input vectors with ``warm``.
    """

    warm: Array
    variances: Array
    covariance: Array


@dataclass(frozen=True)
class Trial:
    """What is tried: one of each of the settings that are tuned."""

    route: str
    strength: float
    place_strength: float
    target: str

    def __str__(self) -> str:
        by = f"by {self.route}" + f" ({self.place_strength:g})" * (self.route == "places")
        return f"{self.target}, {by}, strength {self.strength:g}"


@dataclass(frozen=True)
class Equations:
    """The normal equations of all that is tried.

    Attributes
    ----------
    engine : Engine
    mean : Array [width] of float32
        Of warm users' input vectors.
    axes : Array [width, p] of float32
        To their principal components.
    variances : Array [p] of float32
        Of these.
    routes : dict of name to Route
    targets : dict of name to Csr [users, tracks]
        Streams; rows are warm users first.
    known : dict of names of a route and a target to arrays
        What was added up for a trial, for the others.
    """

    engine: Engine
    mean: Array
    axes: Array
    variances: Array
    routes: Mapping[str, Route]
    targets: Mapping[str, Csr]
    known: dict[tuple[str, str], tuple[Array, Array]] = field(default_factory=dict)

    def solved(self, trial: Trial) -> Regression:
        """The regression of a trial."""
        xp, route = self.engine.xp, self.routes[trial.route]
        # What is told from the input vector at once is regularised there alone.
        least = trial.place_strength * route.variances.sum() if trial.route == "places" else 0
        usable = route.variances > _NOISE * route.variances.max()
        divisor = xp.where(usable, route.variances + least, xp.inf)
        sums, share = self._audiences(trial.route, trial.target)
        tracks = xp.concatenate([sums / divisor, share[:, None]], axis=1)
        told = route.covariance / (self.variances + trial.strength)[:, None]
        spread = (told**2 * self.variances[:, None]).sum(axis=0)
        return _balanced(xp, tracks, self.axes @ told, variances=spread, mean=self.mean)

    def _audiences(self, route: str, target: str) -> tuple[Array, Array]:
        """Of a route's vectors and a target, added up once."""
        if (route, target) not in self.known:
            vectors = self.routes[route].warm
            self.known[route, target] = _audiences(self.engine, self.targets[target], vectors)
        return self.known[route, target]


class Ridge(Strategy):
    """Tracks in the order of the probability, linear in the input vector, that a user streams them.

    Minimises ``sum_ut (y_ut - mean_t - z_u . b_t)^2 + strength n sum_t |b_t|^2`` over the n warm
    users, with y = 1 for a track streamed. Either z is the user's place in the space, which another
    such regression tells from the input vector, or the input vector itself. Each block of that is
    weighed by its share of the evidence on the user and scaled to a variance of 1 in all; only the
    first ``strategies.ridge_components`` principal components take part. No matrix of users by
    tracks is ever made. Scores estimate the share of users alike who stream the track.
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
        """Solve for every route and strength, and keep the best on the validation users."""
        progress(0, 2, "covariance of the input vectors")
        equations = _equations(context, past, parameters)
        progress(1, 2, "regressions")
        tried: list[Trial] = []

        def better(trials: list[Trial], best: Regression | None) -> tuple[Trial, Regression]:
            tried.extend(trials)
            states = {str(each): partial(equations.solved, each) for each in trials}
            best = tuned(partial(cls, context, parameters), states, past, progress, best)
            return tried[best.curve.index(max(best.curve))], best

        (place_strength, *others), (target, *more) = parameters.place_strengths, parameters.targets
        pairs = product(parameters.routes, parameters.strengths)
        at, best = better([Trial(*pair, place_strength, target) for pair in pairs], None)
        if at.route == "places":
            at, best = better([replace(at, place_strength=each) for each in others], best)
        return better([replace(at, target=each) for each in more], best)[1]

    def recommend(self, users: Users, k: int) -> Ranking:
        """See :meth:`Strategy.recommend`."""
        signals = users.registrations.signals[users.numbers]
        vectors = _weighed(
            self.context.engine.xp, users.vectors(), signals, self.parameters.prior_events
        )
        queries = self.context.engine.feed_forward(self.state.network, vectors)
        return Ranking(*self._retriever.rank(queries, k))


def _equations(context: Context, past: Past, parameters: RidgeConfig) -> Equations:
    """All that is tried takes from the warm users."""
    engine, xp, logs = context.engine, context.engine.xp, past.logs
    signals = logs.registrations.signals

    def vectors() -> Iterator[Array]:
        for some in batches(logs.n_warm, _BATCH):
            made = past.inputs.batch(xp.arange(some.start, some.stop))
            yield _weighed(xp, made, signals[some], parameters.prior_events)

    places, spread = _uncorrelated(xp, past.space.users)
    mean, scale, covariance, with_places = _moments(xp, vectors(), past.inputs.width, places)
    variances, axes = _principal(engine, covariance, parameters.components, context.seed)
    axes *= scale[:, None]
    routes = {"places": Route(places, spread, axes.T @ with_places)}
    if "tracks" in parameters.routes:
        kept = slice(parameters.track_components)
        components = xp.concatenate([(some - mean) @ axes[:, kept] for some in vectors()])
        routes["tracks"] = Route(components, variances[kept], xp.diag(variances)[:, kept])
    targets = {"all": logs.plays, "month": logs.month}
    return Equations(engine, mean, axes, variances, routes, targets)


def _uncorrelated(xp: Any, places: Array) -> tuple[Array, Array]:
    """Places [n, d] in the space along their principal axes, and the variance along each [d]."""
    centred = places - places.mean(axis=0)
    variances, axes = xp.linalg.eigh(centred.T @ centred / len(places))
    return centred @ axes, xp.maximum(variances, 0)


def _weighed(xp: Any, vectors: Array, signals: Array, prior_events: float) -> Array:
    """Input vectors [n, width], each block by its share of the evidence on the user.

    As in the mean of a Gaussian posterior, where each event is an observation: a signal of n of all
    N events counts n / (N + prior events), age and country prior events / (N + prior events).

    Parameters
    ----------
    vectors : Array [n, width] of float32
        Overwritten.
    signals : Array [n, 18] of float32
        Events of each signal.
    """
    n, blocks = len(vectors), len(BLOCKS)
    priors = xp.full((n, blocks - signals.shape[1]), prior_events, dtype=xp.float32)
    evidence = xp.concatenate([priors, signals], axis=1)
    weights = evidence / (signals.sum(axis=1, keepdims=True) + xp.float32(prior_events))
    d = (vectors.shape[1] - len(SCALARS)) // blocks
    by_block = vectors[:, : blocks * d].reshape(n, blocks, d) * weights[:, :, None]
    vectors[:, : blocks * d] = by_block.reshape(n, blocks * d)
    return vectors


def _moments(
    xp: Any, batches_of_vectors: Iterable[Array], width: int, places: Array
) -> tuple[Array, Array, Array, Array]:
    """Mean [width] of all vectors, scale [width], covariance, and covariance with places [n, d]."""
    n = 0
    total = xp.zeros(width)
    products = xp.zeros((width, width))
    with_places = xp.zeros((width, places.shape[1]))
    for vectors in batches_of_vectors:
        with_places += vectors.T @ places[n : n + len(vectors)]
        n += len(vectors)
        total += vectors.sum(axis=0, dtype=xp.float64)
        products += vectors.T @ vectors
    mean = total / n
    square = xp.diagonal(products) / n
    variance = xp.where(square - mean**2 > 1e-6 * square, square - mean**2, 0)
    scale = xp.zeros(width)
    size = (width - len(SCALARS)) // len(BLOCKS)
    blocks = [slice(i * size, (i + 1) * size) for i in range(len(BLOCKS))]
    for block in blocks:
        spread = variance[block].sum()
        scale[block] = xp.where(spread > 0, spread, 1) ** -0.5
    rest = slice(len(BLOCKS) * size, width)
    scale[rest] = xp.where(variance[rest] > 0, variance[rest] * len(SCALARS), 1) ** -0.5
    scale[variance == 0] = 0
    covariance = (products / n - mean[:, None] * mean) * scale[:, None] * scale
    found = mean, scale, covariance, with_places / n
    return tuple(each.astype(xp.float32) for each in found)


def _principal(
    engine: Engine, covariance: Array, components: int, seed: int
) -> tuple[Array, Array]:
    """The largest eigenvalues [c] and their vectors [width, c], by a randomised range finder."""
    xp, width = engine.xp, len(covariance)
    c = min(components, width)
    start = np.random.default_rng(seed).standard_normal((width, min(width, c + _OVERSAMPLES)))
    basis = xp.linalg.qr(covariance @ engine.asarray(start.astype(np.float32)))[0]
    values, vectors = xp.linalg.eigh(basis.T @ (covariance @ basis))
    return xp.maximum(values[::-1][:c], 0), basis @ vectors[:, ::-1][:, :c]


def _audiences(engine: Engine, plays: Csr, warm: Array) -> tuple[Array, Array]:
    """Sum of the vectors [n, c] of each track's audience [tracks, c], and its size, over n."""
    xp, n = engine.xp, len(warm)
    audience = engine.transpose(plays.with_data(xp.ones(plays.nnz, dtype=xp.float32)))
    sizes = xp.diff(audience.indptr).astype(xp.float32)
    return engine.pool(audience, warm) * sizes[:, None] / n, sizes / n


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
