"""What strategies that learn share: trials on the validation users, and blends of popularities."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from gpu_coldstart.batches import by_batches
from gpu_coldstart.engine.base import Array, Csr, Engine
from gpu_coldstart.spaces import Progress
from gpu_coldstart.strategies.base import Past, Ranking, Strategy

__all__ = ["best_of", "blended", "softmax"]

T = TypeVar("T")

_LISTED = 50  # length of the validation users' lists, as in the paper
_BATCH = 512  # users whose blends of all tracks are held at once


def best_of(
    trials: Iterable[tuple[str, T, Strategy]], n: int, past: Past, progress: Progress
) -> tuple[T, tuple[float, ...]]:
    """The first best of ``n`` trials on the validation users.

    Parameters
    ----------
    trials : iterable of (words, value, strategy)
        What is tried, for people and as such, and the strategy that it makes.
    n : int

    Returns
    -------
    best : value
    curve : tuple of float
        NDCG of the validation users in each trial.
    """
    best, curve = None, list[float]()
    for done, (words, value, strategy) in enumerate(trials, start=1):
        k = min(_LISTED, strategy.context.n_tracks)
        curve.append(past.score(strategy.recommend(past.validation, k)))
        if best is None or curve[-1] > max(curve[:-1]):
            best = (value,)
        progress(done, n, f"{words}: NDCG {curve[-1]:.4f}")
    assert best is not None  # there is at least one trial
    return best[0], tuple(curve)


def softmax(engine: Engine, distances: Array, sharpness: float) -> Array:
    """Weights [n, s] that fall with the squares of distances [n, s], nearest first; of sum 1."""
    squares = distances * distances
    weights = engine.xp.exp(-sharpness * (squares - squares[:, :1]))
    return weights / weights.sum(axis=1, keepdims=True)


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
