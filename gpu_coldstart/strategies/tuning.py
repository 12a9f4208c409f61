"""What strategies that learn share: choices by the validation users, and blends of popularities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Past, Ranking, Strategy

__all__ = ["LISTED", "best_epoch", "blended", "nearest_square", "softmax", "tuned"]

T = TypeVar("T")

LISTED = 50
"""Length of the validation users' lists, as in the paper."""

_BATCH = 512  # users whose blends of all tracks are held at once


def tuned(
    make: Callable[[Any], Strategy],
    trials: Mapping[str, Callable[[], T]],
    past: Past,
    progress: Progress,
    best: T | None = None,
) -> T:
    """The first best of some states on the validation users, with the NDCG of each as its curve.

    Parameters
    ----------
    make : callable
        From a state to its strategy.
    trials : dict of words to callable
        What is tried, for people, and what makes the state, a dataclass with a field ``curve``.
    progress : callable
        Hears of every trial.
    best : state
        What earlier trials found, whose curve is gone on with.
    """
    curve = [] if best is None else list[float](cast("Any", best).curve)
    for done, (words, state_of) in enumerate(trials.items(), start=1):
        state = state_of()
        strategy = make(state)
        k = min(LISTED, strategy.context.n_tracks)
        curve.append(past.score(strategy.recommend(past.validation, k)))
        if best is None or curve[-1] > max(curve[:-1]):
            best = state
        progress(done, len(trials), f"{words}: NDCG {curve[-1]:.4f}")
    assert best is not None  # there is at least one trial
    found: T = replace(cast("Any", best), curve=tuple(curve))
    return found


def best_epoch(
    make: Callable[[Any], Strategy],
    trained: Callable[[int], tuple[T, str]],
    past: Past,
    progress: Progress,
) -> T:
    """Train until the NDCG of the validation users stops rising; the first best epoch's state.

    Parameters
    ----------
    make : callable
        From a state to its strategy, whose parameters ``epochs`` and ``patience`` say when to stop.
    trained : callable
        From the number of an epoch to the state after it, a dataclass with a field ``curve``, and
        words for people.
    progress : callable
        Hears of every epoch.
    """
    best, best_at, curve = None, 0, list[float]()
    while True:
        state, words = trained(len(curve))
        strategy = make(state)
        epochs, patience = strategy.parameters.epochs, strategy.parameters.patience
        k = min(LISTED, strategy.context.n_tracks)
        curve.append(past.score(strategy.recommend(past.validation, k)))
        progress(len(curve), epochs, f"{words}, validation NDCG {curve[-1]:.4f}")
        past.after_epoch(len(curve), curve[-1])
        if best is None or not patience or curve[-1] > curve[best_at]:
            best, best_at = state, len(curve) - 1
        stale = bool(patience) and len(curve) - 1 - best_at >= patience
        if stale or len(curve) == epochs:
            found: T = replace(cast("Any", best), curve=tuple(curve))
            return found


def nearest_square(engine: Engine, places: Array, points: Array) -> float:
    """Mean squared distance of places [n, d] from their nearest point; 1 if each is on one."""
    _, distances = engine.nearest(places, points, 1)
    return float((distances**2).mean()) or 1.0


def softmax(engine: Engine, distances: Array, sharpness: float) -> Array:
    """Weights [n, s] that fall with the squares of distances [n, s], nearest first; of sum 1.

    Double precision inside, as libraries add up the rows of other shapes in another order.
    """
    xp = engine.xp
    squares = distances.astype(xp.float64) ** 2
    weights = xp.exp(-sharpness * (squares - squares[:, :1]))
    return (weights / weights.sum(axis=1, keepdims=True)).astype(xp.float32)


def blended(engine: Engine, places: Array, weights: Array, shares: Csr, k: int) -> Ranking:
    """The ``k`` tracks of the largest ``sum_s weight_us share_st`` for each user u.

    Where fewer have any share, the most popular of all others follow, at score 0.

    Parameters
    ----------
    places : Array [n, s] of int32
        Rows of ``shares``, distinct for a user.
    weights : Array [n, s] of float32
    shares : Csr [m, tracks]
    """
    xp, (n, s) = engine.xp, places.shape

    def top(some: slice) -> tuple[Array, Array]:
        mine = places[some]
        users = xp.repeat(xp.arange(len(mine)), s)
        mixing = engine.csr(
            users, mine.ravel(), weights[some].ravel(), (len(mine), shares.shape[0])
        )
        return engine.row_top(engine.product(mixing, shares), k)

    return Ranking(*by_batches(xp, n, top, size=_BATCH))
